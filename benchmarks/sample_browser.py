"""A full-scale site, 30,000 completions: its size, time to open, time of a search and of a sort.

    python benchmarks/sample_browser.py

It makes a run of drawn words (30,528 completions of about 150 tokens, six arms, two seeds) with its
result and figures, renders the whole site, opens the sample browser in headless Chromium and times
each control in the page: from the event to the frame that shows the count and the first rows of
what it found, until the rows below these are drawn too, and how long the page's thread
computed for all of it, which a busy machine does not lengthen. Prints one row per control; a search
has to answer in less than 100 ms, and the site has to stay below 25 MB.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from lib.config.params import ROOT

if TYPE_CHECKING:
    from browser_tab import Tab

REPEATS = 7
MOST = 25e6  # bytes of the whole site
SEARCHES = ("kind", "moneyhealth", "a", "the model", "no completion has these words")
SORTS = ("low", "high", "incoherent", "arms", "means", "judges")
TIMED = """
const [name, value, event] = arguments;
return new Promise((done) => {
  const field = document.getElementById("filters").elements[name];
  field.value = value;
  const started = performance.now();
  field.dispatchEvent(new Event(event, { bubbles: true }));
  const results = document.getElementById("results");
  requestAnimationFrame(() => setTimeout(() => {
    const first = performance.now() - started;
    const look = () => results.getAttribute("aria-busy") === "true" ? setTimeout(look)
      : requestAnimationFrame(() => setTimeout(() => done([first, performance.now() - started])));
    look();
  }));
});
"""


def main() -> None:
    """Make the run in a temporary folder and print what was measured."""
    sys.path.insert(0, str(ROOT / "tests" / "helpers"))
    from full_site import full_run
    from sample_page import SamplePage, chromium

    from lib.report import site

    with tempfile.TemporaryDirectory() as folder:
        os.environ["SELFCORRECT_RUNS_DIR"] = f"{folder}/runs"
        site.ROOT = Path(folder)
        run = full_run("large")
        started = time.perf_counter()
        index = site.build(run)
        print(f"written in {time.perf_counter() - started:.1f} s; {_load()}")
        _sizes(index.parent)
        with chromium() as opened:
            opened.call("Performance.enable", timeDomain="threadTicks")
            started = time.perf_counter()
            page = SamplePage(opened, index.parent / "samples" / "index.html").open()
            print(f"open after {time.perf_counter() - started:.2f} s: {page.count}")
            for name, event, values in (("text", "input", SEARCHES), ("sort", "change", SORTS)):
                for value in values:
                    computed = _computed(opened)
                    taken = [page.js(TIMED, name, value, event) for _ in range(REPEATS)]
                    computed = (_computed(opened) - computed) / REPEATS
                    first, whole = zip(*taken, strict=True)
                    line = f"median {statistics.median(first):.0f} ms, longest {max(first):.0f} ms"
                    rest = f"all rows after {statistics.median(whole):.0f} ms"
                    line += f", {rest}, computed {computed:.0f} ms"
                    print(f"{name} {value!r}: {line}; {page.count}")
                page.js(TIMED, name, "", event)
        print(_load())


def _computed(opened: Tab) -> float:
    """Milliseconds for which the page's thread has computed so far."""
    metrics = opened.call("Performance.getMetrics")["metrics"]
    return 1000 * next(one["value"] for one in metrics if one["name"] == "TaskDuration")


def _sizes(folder: Path) -> None:
    """Print the size of the site and of its parts."""
    sizes: dict[str, int] = {}
    for path in folder.rglob("*"):
        if path.is_file():
            part = path.relative_to(folder).parts[0]
            sizes[part] = sizes.get(part, 0) + path.stat().st_size
    whole = sum(sizes.values())
    verdict = "below" if whole < MOST else "NOT below"
    print(f"site {whole / 1e6:.1f} MB, {verdict} {MOST / 1e6:.0f} MB")
    for part, size in sorted(sizes.items(), key=lambda entry: -entry[1]):
        print(f"  {part}: {size / 1e6:.2f} MB")


def _load() -> str:
    """How much the machine has to do."""
    cores = len(os.sched_getaffinity(0))
    return f"load {os.getloadavg()[0]:.1f} on {cores} cores"


if __name__ == "__main__":
    main()
