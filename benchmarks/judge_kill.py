"""kill -9 at random points, twenty times in real time and twenty in batches, then to the end: is anything lost or paid twice?

python benchmarks/judge_kill.py [--kills 20] [--count 4000] [--seed 0]

The server is the one of the tests. After each kill the store says what was answered by then; none of that may reach the server
again. In real time at most the calls in flight may be asked twice; in batches nothing may.
"""

from __future__ import annotations

import argparse
import collections
import logging
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CONCURRENCY = 16
CHILD = """
import sys, time
from pathlib import Path
import pandas as pd
from lib.judge import batches, load_judge
from lib.params import load_profile
mode, stage, count, concurrency = sys.argv[1:]
batches.pause = lambda seconds: time.sleep(0.05)
batches.MAX_REQUESTS = 40
params = load_profile("qwen7b").judge.model_copy(update={"batch": mode == "batch", "concurrency": int(concurrency)})
rows = pd.DataFrame({"suite": "alignment", "prompt": "Why?", "completion": [f"text {k}" for k in range(int(count))]})
judge = load_judge(params, Path(stage))
Path(stage).with_suffix(".ready").touch()
assert set(judge.score(rows)["outcome"]) == {"scored"}
"""


def answered(stage: Path) -> int:
    """Scored attempts in the store."""
    from lib.judge.store import ledger

    return sum(row["requests"] for row in ledger(stage.parent) if row["outcome"] == "scored")


def scored_texts(stage: Path, count: int, judge) -> set[str]:
    """Completions that have an answer in the store."""
    import pandas as pd

    from lib.judge.store import Store

    rows = pd.DataFrame(
        {"suite": "alignment", "prompt": "Why?", "completion": [f"text {k}" for k in range(count)]}
    )
    requests = judge._requests(rows)[1]
    store = Store(stage)
    found = {requests[key].completion for key in store.answers(requests)}
    store.close()
    return found


def sitting(mode: str, given, server, rng: random.Random, folder: Path) -> None:
    """Kills, restarts, finishes, and prints what the server saw."""
    from lib.config.params import load_profile
    from lib.judge import load_judge

    stage = folder / mode / "session.sqlite"
    stage.parent.mkdir()
    judge = load_judge(
        load_profile("qwen7b").judge.model_copy(update={"batch": mode == "batch"}), stage
    )
    received = server.batched if mode == "batch" else server.sent
    command = [sys.executable, "-c", CHILD, mode, str(stage), str(given.count), str(CONCURRENCY)]
    again, kills, points, before, mark = 0, 0, [], set(), 0
    while kills < given.kills:
        ready = stage.with_suffix(".ready")
        ready.unlink(missing_ok=True)
        child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
        while not ready.exists():
            time.sleep(0.01)
        time.sleep(rng.uniform(0.0, given.longest))
        if child.poll() is not None:
            raise SystemExit(
                f"{mode}: the session ended after {kills} kills; give more --count or less --longest"
            )
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        kills += 1
        time.sleep(0.3)  # the server finishes what was in flight
        kept, seen = scored_texts(stage, given.count, judge), len(received())
        points.append(len(kept))
        again += len(before & set(received()[mark:seen]))
        before, mark = kept, seen
    subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, check=True)
    again += len(before & set(received()[mark:]))
    times = collections.Counter(received())
    twice = sum(n - 1 for n in times.values())
    print(
        f"{mode}: killed {kills} times, at {points} answers; at the end {answered(stage)} of {given.count} answered, "
        f"{given.count - len(times)} lost, {again} answered requests sent again, {twice} paid twice "
        f"(in flight at the kills: at most {CONCURRENCY * kills if mode == 'real time' else 0})"
    )
    if (
        answered(stage) != given.count
        or again
        or twice > (CONCURRENCY * kills if mode == "real time" else 0)
    ):
        raise SystemExit(f"{mode}: FAILED")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--count", type=int, default=4000)
    parser.add_argument(
        "--longest",
        type=float,
        default=0.5,
        help="seconds from the judge's start to a kill, at most",
    )
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    sys.path.insert(0, str(ROOT / "tests"))
    from loopback import KEY, Loopback
    from pytest_httpserver import HTTPServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    with (
        HTTPServer(host="127.0.0.1", threaded=True) as http,
        tempfile.TemporaryDirectory() as folder,
    ):
        os.environ |= {
            "ANTHROPIC_BASE_URL": http.url_for("").rstrip("/"),
            "ANTHROPIC_API_KEY": KEY,
            "PYTHONPATH": str(ROOT),
        }
        for mode in ("real time", "batch"):
            server = Loopback(http)
            server.polls_before_end = 3
            sitting(mode, given, server, random.Random(f"{given.seed} {mode}"), Path(folder))


if __name__ == "__main__":
    main()
