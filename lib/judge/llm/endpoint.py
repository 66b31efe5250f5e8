"""Any chat model behind an OpenAI-compatible endpoint as judge.

Examples are vLLM, `transformers serve` and llama.cpp's server. Rubric, outcomes and store are the
same as Claude's. Its cost is not metered, so `cost_usd` is missing.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx2

from lib.config.measurement import JudgeParams
from lib.judge.llm import answers, rubric
from lib.judge.llm.limits import Budget, Gate
from lib.judge.llm.prices import MAX_TOKENS, UNMETERED
from lib.judge.llm.proxies import stays_here
from lib.judge.llm.realtime import Request, Unanswered, run, run_apart
from lib.judge.llm.scoring import RubricJudge
from lib.judge.outcomes import JudgeError, Judgment
from lib.judge.protocol import Progress
from lib.judge.store import Store

# The key of an endpoint that asks for one. The variable has its own name, so that no other
# service's key is sent there.
KEY = "LOCAL_JUDGE_API_KEY"
TRIES = 4  # calls for one answer
FIRST_WAIT = 0.5  # seconds after the first call; they double with each further one
PUSH_BACK = (429, 503, 529)


class LocalJudge(RubricJudge):
    """The model that an endpoint serves.

    Raises JudgeError if nothing answers there, or if another model is served.
    """

    def __init__(self, params: JudgeParams, stage: Path):
        super().__init__(params, stage, UNMETERED, "", {"max_tokens": MAX_TOKENS, "temperature": 0})
        self._url = (params.base_url or "").rstrip("/")
        self._key = os.environ.get(KEY, "").strip()
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        self._client: dict[str, Any] = {
            "headers": headers,
            "timeout": params.timeout,
            "trust_env": not stays_here(self._url),
        }
        self._check_model()

    def _check_model(self) -> None:
        """Ask which models the endpoint serves. Raises JudgeError."""
        try:
            reply = httpx2.get(f"{self._url}/models", **self._client)
            served = [model["id"] for model in reply.raise_for_status().json()["data"]]
        except (
            httpx2.HTTPError,
            httpx2.InvalidURL,
            ValueError,
            KeyError,
            TypeError,
            ImportError,
        ) as error:
            raise JudgeError(
                f"no OpenAI-compatible endpoint answers at judge.base_url {self._url!r} "
                f"({self._line(error)}); start it, or set {KEY} if it asks for a key"
            ) from None
        if self.params.model not in served:
            raise JudgeError(
                f"judge.model {self.params.model!r} is not served at {self._url}; set it to what "
                f"is: {', '.join(served)[:200]}"
            )

    def send(
        self, requests: Sequence[Request], store: Store, budget: Budget, progress: Progress | None
    ) -> None:
        """Judge all in real time. A cap in dollars has no effect, because nothing is metered."""

        def keep(key: str, judgment: Judgment) -> None:
            store.add(key, judgment, model=self.name, rubric=self.rubric)

        async def main() -> None:
            limits = httpx2.Limits(
                max_connections=self.params.concurrency,
                max_keepalive_connections=self.params.concurrency,
            )
            async with httpx2.AsyncClient(**self._client, limits=limits) as client:
                gate = Gate(self.params.concurrency, budget)
                await run(
                    requests,
                    lambda request: self._call(client, request, gate),
                    keep,
                    gate,
                    progress,
                )

        run_apart(main)

    def body(self, request: Request) -> dict[str, Any]:
        """The request in the form of /v1/chat/completions."""
        asked = rubric.rubric_of(request.suite)
        return {
            "model": self.params.model,
            **self.parameters,
            "messages": [
                {"role": "system", "content": asked.system},
                {
                    "role": "user",
                    "content": rubric.user_message(request.prompt, request.completion),
                },
            ],
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "grade", "strict": True, "schema": asked.schema},
            },
        }

    async def _call(self, client: httpx2.AsyncClient, request: Request, gate: Gate) -> Judgment:
        """One judgment. The call is repeated after a fault that may pass.

        Raises Unanswered without a usable reply, JudgeError for a rejected key.
        """
        body = self.body(request)
        reason = ""
        for attempt in range(TRIES):
            if attempt:
                await asyncio.sleep(FIRST_WAIT * 2 ** (attempt - 1))
            try:
                async with asyncio.timeout(self.params.timeout):
                    reply = await client.post(f"{self._url}/chat/completions", json=body)
                if reply.status_code in (401, 403):
                    raise JudgeError(
                        f"the endpoint rejected the key in {KEY} ({reply.status_code}); set one "
                        "that it takes"
                    )
                if reply.status_code in PUSH_BACK:
                    gate.pushed_back(asyncio.get_running_loop().time())
                if reply.is_success:
                    return self._read(reply.json(), request)
                reason = f"{reply.status_code} {reply.text}"
                if reply.status_code < 500 and reply.status_code != 429:
                    break
            except (
                httpx2.HTTPError,
                TimeoutError,
                ValueError,
                AttributeError,
                TypeError,
                KeyError,
            ) as error:
                reason = f"{type(error).__name__} {error}"
        raise Unanswered(self._line(reason))

    def _read(self, reply: dict[str, Any], request: Request) -> Judgment:
        """The judgment in a reply of /v1/chat/completions."""
        usage = reply.get("usage") or {}
        paid: dict[str, Any] = {
            "input_tokens": usage.get("prompt_tokens"),
            "output_tokens": usage.get("completion_tokens"),
        }
        choice = (reply.get("choices") or [{}])[0]
        message = choice.get("message") or {}
        if message.get("refusal") or choice.get("finish_reason") == "content_filter":
            return Judgment("judge_refusal", **paid)
        return read_reply(
            message.get("content") or "",
            choice.get("finish_reason"),
            request.suite,
            paid,
            shown=f"{request.prompt}\n{request.completion}",
        )

    def _line(self, reason: object) -> str:
        """A reason in one line, without the key if the endpoint sent it back."""
        line = " ".join(str(reason).split())
        return (line.replace(self._key, "(key)") if self._key else line)[:300]


def read_reply(
    text: str, finish_reason: str | None, suite: str, paid: dict[str, Any], shown: str = ""
) -> Judgment:
    """The judgment in a local model's text.

    Many such models write thoughts first, or put a sentence or a code fence around the JSON.

    Args:
        text: what the model wrote.
        finish_reason: the endpoint's; only "stop" is a whole answer.
        suite: decides the rubric.
        paid: tokens of the call, as fields of the judgment.
        shown: prompt and completion; JSON in them is never taken for the answer.
    """
    if finish_reason == "length":
        return Judgment("truncated", **paid, said=text)
    if finish_reason != "stop":
        return Judgment("error", **paid)
    return answers.read_loose_answer(text, rubric.rubric_of(suite), paid, shown)
