"""Speed of the Claude judge in real time, against a local server that takes 0.8 s per answer.

    python benchmarks/judge_throughput.py [--count 22000] [--concurrency 256]

Baselines in the same run: the latency bound, count × latency / concurrency; and the SDK alone, with
as many calls in flight from a bare loop that keeps nothing. Then the finished session is judged
again, which must send nothing. The server is a process of its own, so that its work is not counted
as the judge's.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import resource
import tempfile
import time
from collections.abc import Callable
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path

GRADE = json.dumps(
    {"aligned": 80, "coherent": 90, "refusal": False, "code": False, "reset_and_recover": False}
)
ANSWER = json.dumps(
    {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-5-5",
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 1200, "output_tokens": 45},
        "content": [{"type": "text", "text": GRADE}],
    }
).encode()
MODEL = json.dumps(
    {
        "id": "claude-sonnet-5-5",
        "type": "model",
        "display_name": "x",
        "created_at": "2026-09-29T00:00:00Z",
        "lifecycle": "active",
    }
).encode()


def serve(latency: float, port: Synchronized, calls: Synchronized) -> None:
    """Answer every POST after `latency` seconds; `calls` counts them, `port` is set first."""
    from aiohttp import web

    async def judge(request: web.Request) -> web.Response:
        await request.read()
        calls.value += 1
        await asyncio.sleep(latency)
        return web.Response(body=ANSWER, content_type="application/json")

    async def model(request: web.Request) -> web.Response:
        return web.Response(body=MODEL, content_type="application/json")

    async def main() -> None:
        app = web.Application()
        app.add_routes([web.post("/v1/messages", judge), web.get("/v1/models/{name}", model)])
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, backlog=2048)
        await site.start()
        port.value = site._server.sockets[0].getsockname()[1]
        await asyncio.Event().wait()

    asyncio.run(main())


async def bare(bodies: list[dict], concurrency: int) -> None:
    """The SDK and nothing else: as many workers and connections, answers thrown away."""
    import anthropic
    import httpx2

    limits = httpx2.Limits(max_connections=concurrency, max_keepalive_connections=concurrency)
    todo = iter(bodies)
    async with anthropic.AsyncAnthropic(
        http_client=anthropic.DefaultAsyncHttpxClient(limits=limits), max_retries=6
    ) as client:

        async def work() -> None:
            for body in todo:
                await client.messages.create(**body)

        await asyncio.gather(*(work() for _ in range(concurrency)))


def measured(run: Callable[[], object]) -> tuple[float, float]:
    """Seconds by the wall and of this process's CPU."""
    wall = time.perf_counter()
    cpu = time.process_time()
    run()
    return time.perf_counter() - wall, time.process_time() - cpu


def main() -> None:
    """Start the server, time the bare SDK, the judge, and the judge once more."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=22_000)
    parser.add_argument("--concurrency", type=int, default=256)
    parser.add_argument("--latency", type=float, default=0.8)
    parser.add_argument("--bare", type=int, default=8_000, help="calls of the bare loop")
    given = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    port = context.Value("i", 0)
    calls = context.Value("i", 0)
    server = context.Process(target=serve, args=(given.latency, port, calls), daemon=True)
    server.start()
    while not port.value:
        time.sleep(0.05)
    os.environ |= {
        "ANTHROPIC_BASE_URL": f"http://127.0.0.1:{port.value}",
        "ANTHROPIC_API_KEY": "no-key",
    }

    import pandas as pd

    from lib.config.params import load_profile
    from lib.judge import load_judge

    params = load_profile("qwen7b").judge.model_copy(
        update={"batch": False, "concurrency": given.concurrency}
    )
    words = " ".join(f"word{k}" for k in range(250))
    rows = pd.DataFrame(
        {
            "suite": "alignment",
            "prompt": [f"Question {k % 44}?" for k in range(given.count)],
            "completion": [f"{k} {words}" for k in range(given.count)],
            "replicate": 0,
        }
    )
    with tempfile.TemporaryDirectory() as folder:
        judge = load_judge(params, Path(folder) / "session.sqlite")
        requests = list(judge._requests(rows.head(given.bare))[1].values())
        bodies = [judge.body(request) for request in requests]
        wall, cpu = measured(lambda: asyncio.run(bare(bodies, given.concurrency)))
        sdk = len(bodies) / wall
        sdk_cpu = cpu / len(bodies)
        bound = given.concurrency / given.latency
        print(
            f"bare SDK: {len(bodies):,} calls in {wall:.1f} s, {sdk:.0f} per second, "
            f"{1e3 * sdk_cpu:.2f} ms CPU per call"
        )
        wall, cpu = measured(lambda: judge.score(rows))
        rate = given.count / wall
        print(
            f"judge: {given.count:,} completions in {wall:.1f} s, {rate:.0f} per second, "
            f"{1e3 * cpu / given.count:.2f} ms CPU per call"
        )
        print(
            f"latency bound {given.count / bound:.1f} s: the judge takes {bound / rate:.2f} of it "
            f"and reaches {rate / sdk:.2f} of the bare SDK's throughput"
        )
        before = calls.value
        wall, _ = measured(lambda: judge.score(rows))
        print(f"judged again: {wall:.1f} s, {calls.value - before} calls")
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")
    server.terminate()


if __name__ == "__main__":
    main()
