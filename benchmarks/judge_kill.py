"""Is anything lost or paid twice when the judge is killed?

    python benchmarks/judge_kill.py [--kills 20] [--count 4000] [--seed 0]

kill -9 at random points, twenty times in real time and twenty in batches, and then to the end. The
server is the one of the tests. After each kill the store says what was answered by then, and none
of that may reach the server again. In real time at most the calls in flight may be asked twice; in
batches nothing may.
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
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from loopback import Loopback

    from lib.judge.llm.claude import ClaudeJudge

ROOT = Path(__file__).resolve().parents[1]
CONCURRENCY = 16
CHILD = """
import sys, time
from pathlib import Path
import pandas as pd
from lib.config.params import load_profile
from lib.judge import load_judge
from lib.judge.llm import batches
mode, stage, count, concurrency = sys.argv[1:]
batches.pause = lambda seconds: time.sleep(0.05)
batches.MAX_REQUESTS = 40
changes = {"batch": mode == "batch", "concurrency": int(concurrency)}
params = load_profile("qwen7b").judge.model_copy(update=changes)
texts = [f"text {k}" for k in range(int(count))]
rows = pd.DataFrame({"suite": "alignment", "prompt": "Why?", "completion": texts})
judge = load_judge(params, Path(stage))
Path(stage).with_suffix(".ready").touch()
assert set(judge.score(rows)["outcome"]) == {"scored"}
"""


def answered(stage: Path) -> int:
    """Scored attempts in the store."""
    from lib.judge.store import ledger

    return sum(row["requests"] for row in ledger(stage.parent) if row["outcome"] == "scored")


def scored_texts(stage: Path, count: int, judge: ClaudeJudge) -> set[str]:
    """Completions that have an answer in the store."""
    import pandas as pd

    from lib.judge.store import Store

    texts = [f"text {k}" for k in range(count)]
    rows = pd.DataFrame({"suite": "alignment", "prompt": "Why?", "completion": texts})
    requests = judge._requests(rows)[1]
    store = Store(stage)
    scored = {requests[key].completion for key in store.answers(requests)}
    store.close()
    return scored


def sitting(
    mode: str, given: argparse.Namespace, server: Loopback, rng: random.Random, folder: Path
) -> None:
    """Kill, restart, finish, and print what the server saw."""
    from lib.config.params import load_profile
    from lib.judge import load_judge

    stage = folder / mode / "session.sqlite"
    stage.parent.mkdir()
    params = load_profile("qwen7b").judge.model_copy(update={"batch": mode == "batch"})
    judge = load_judge(params, stage)
    received = server.batched if mode == "batch" else server.sent
    command = [sys.executable, "-c", CHILD, mode, str(stage), str(given.count), str(CONCURRENCY)]
    again = 0  # answered requests that were sent again
    points = []  # answers at each kill
    before: set[str] = set()  # completions that were answered at the last kill
    mark = 0  # requests that the server had received by then
    for kills in range(1, given.kills + 1):
        ready = stage.with_suffix(".ready")
        ready.unlink(missing_ok=True)
        child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
        while not ready.exists():
            time.sleep(0.01)
        time.sleep(rng.uniform(0.0, given.longest))
        if child.poll() is not None:
            raise SystemExit(
                f"{mode}: the session ended after {kills - 1} kills; "
                "give more --count or less --longest"
            )
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        time.sleep(0.3)  # the server finishes what was in flight
        kept = scored_texts(stage, given.count, judge)
        n_received = len(received())
        points.append(len(kept))
        again += len(before & set(received()[mark:n_received]))
        before = kept
        mark = n_received
    subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, check=True)
    again += len(before & set(received()[mark:]))
    times = collections.Counter(received())
    twice = sum(n - 1 for n in times.values())
    in_flight = CONCURRENCY * given.kills if mode == "real time" else 0
    n_answered = answered(stage)
    print(
        f"{mode}: killed {given.kills} times, at {points} answers; "
        f"at the end {n_answered} of {given.count} answered, {given.count - len(times)} lost, "
        f"{again} answered requests sent again, {twice} paid twice "
        f"(in flight at the kills: at most {in_flight})"
    )
    if n_answered != given.count or again or twice > in_flight:
        raise SystemExit(f"{mode}: FAILED")


def main() -> None:
    """Both modes, each against its own server; an error if anything was lost or paid twice."""
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
    sys.path.insert(0, str(ROOT / "tests" / "helpers"))
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
