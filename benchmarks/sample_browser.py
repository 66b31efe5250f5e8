"""The sample browser over 30,000 completions: size, time to open, time of a search and of a sort.

    python benchmarks/sample_browser.py

It makes a run of drawn words (30,528 completions of about 150 tokens), writes its browser, opens it
in headless Chromium and times each control in the page: from the event to the frame that shows what
it found. Prints one row per control; a search has to answer in less than 100 ms.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

from lib.config.params import ROOT

REPEATS = 7
SEARCHES = ("kind", "moneyhealth", "a", "the model", "no completion has these words")
SORTS = ("low", "high", "incoherent", "arms", "means", "judges")
TIMED = """
const [name, value, event, done] = arguments;
const field = document.getElementById("filters").elements[name];
field.value = value;
const started = performance.now();
field.dispatchEvent(new Event(event, { bubbles: true }));
requestAnimationFrame(() => setTimeout(() => done(performance.now() - started)));
"""


def main() -> None:
    """Make the run in a temporary folder and print what was measured."""
    sys.path.insert(0, str(ROOT / "tests" / "helpers"))
    from browser import BROWSER
    from sample_page import SamplePage, chromium
    from sample_runs import browser_of, large_run

    with tempfile.TemporaryDirectory() as folder:
        os.environ["SELFCORRECT_RUNS_DIR"] = f"{folder}/runs"
        run = large_run("large")
        started = time.perf_counter()
        file = browser_of(run, Path(folder) / "site")
        print(f"written in {time.perf_counter() - started:.1f} s")
        size = sum(path.stat().st_size for path in file.parent.iterdir())
        print(f"size {size / 1e6:.1f} MB")
        with chromium(BROWSER) as driver:
            started = time.perf_counter()
            page = SamplePage(driver, file).open()
            print(f"open after {time.perf_counter() - started:.2f} s: {page.count}")
            for name, event, values in (("text", "input", SEARCHES), ("sort", "change", SORTS)):
                for value in values:
                    taken = [
                        driver.execute_async_script(TIMED, name, value, event)
                        for _ in range(REPEATS)
                    ]
                    line = f"median {statistics.median(taken):.0f} ms, longest {max(taken):.0f} ms"
                    print(f"{name} {value!r}: {line}; {page.count}")
                driver.execute_async_script(TIMED, name, "", event)


if __name__ == "__main__":
    main()
