"""Claude as judge, in real time through the official SDK. Batches: `lib.judge.llm.batches`.

The API key comes from the environment and goes to the SDK alone. It is in no message, file or
store.
"""

from __future__ import annotations

import asyncio
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anthropic
import httpx2
from anthropic.resources.messages import DEPRECATED_MODELS

from lib.config.measurement import JudgeParams
from lib.judge.llm import answers, batches, rubric
from lib.judge.llm.key import KEY, api_key
from lib.judge.llm.limits import Budget, Gate
from lib.judge.llm.prices import MAX_TOKENS, model_facts
from lib.judge.llm.proxies import stays_here
from lib.judge.llm.realtime import Request, Unanswered, run, run_apart
from lib.judge.llm.scoring import RubricJudge
from lib.judge.outcomes import JudgeError, Judgment
from lib.judge.protocol import Progress
from lib.judge.store import Store

# The SDK repeats a call on 408, 409, 429, 5xx, timeouts and lost connections, after the time that
# the API asks for.
RETRIES = 6
# A call with its retries ends after this many timeouts. The client's own clock starts anew with
# every byte, so an answer that arrives byte by byte would never time out.
HANG_FACTOR = 10
PUSH_BACK = (429, 529)  # the API asks for fewer calls


class ClaudeJudge(RubricJudge):
    """A Claude model.

    The constructor asks the API, at no charge, whether it takes the key and knows the model.
    Raises ParamsError for a model without a price, JudgeError for a missing or rejected key or a
    model that the API no longer has.
    """

    def __init__(self, params: JudgeParams, stage: Path):
        price, effort, priced_on = model_facts(params.model)
        parameters = {"max_tokens": MAX_TOKENS} | ({"effort": effort} if effort else {})
        super().__init__(params, stage, price, priced_on, parameters)
        self._key = api_key()
        here = stays_here(os.environ.get("ANTHROPIC_BASE_URL", ""))
        # The SDK's own clients use the environment's proxy even for addresses of this machine.
        self._http: dict[str, Any] = {"trust_env": False, "follow_redirects": True} if here else {}
        self._check_model()

    def _check_model(self) -> None:
        """Ask the API for the model. Raises JudgeError if it is gone, warns if it soon will be."""
        model = self.params.model
        last_day = DEPRECATED_MODELS.get(model)
        try:
            with self._client(self.params.timeout) as client:
                info = client.models.retrieve(model)
        except anthropic.NotFoundError:
            gone = f" (it was to end on {last_day})" if last_day else ""
            raise JudgeError(
                f"the API does not know judge.model {model!r}{gone}; choose one of "
                "params/prices.yaml"
            ) from None
        except anthropic.APIError as error:
            silent = JudgeError(
                f"the API did not say whether it serves judge.model {model!r}: "
                f"{self.reason(error)}; try again"
            )
            raise self.stop(error) or silent from None
        lifecycle = getattr(info, "lifecycle", None)
        last_day = getattr(info, "retires_at", None) or last_day
        if lifecycle == "retired":
            raise JudgeError(
                f"judge.model {model!r} is retired; choose a model of params/prices.yaml"
            )
        if lifecycle == "deprecated" or last_day:
            dated = last_day is not None and not isinstance(last_day, str)
            day = f"{last_day:%Y-%m-%d}" if dated else last_day
            warnings.warn(
                f"judge.model {model!r} is being retired, last day {day or 'not announced'}; a run "
                "that is judged later needs another model",
                stacklevel=2,
            )

    def _client(self, timeout: float) -> anthropic.Anthropic:
        """A client with this judge's key, which avoids proxies for addresses of this machine."""
        http = httpx2.Client(**self._http) if self._http else None
        return anthropic.Anthropic(
            api_key=self._key, timeout=timeout, max_retries=RETRIES, http_client=http
        )

    def body(self, request: Request) -> dict[str, Any]:
        """The request as the Messages API takes it.

        The suite decides rubric and schema, and nothing else.
        """
        asked = rubric.rubric_of(request.suite)
        output: dict[str, Any] = {"format": {"type": "json_schema", "schema": asked.schema}}
        if "effort" in self.parameters:
            output["effort"] = self.parameters["effort"]
        return {
            "model": self.params.model,
            "max_tokens": self.parameters["max_tokens"],
            "system": asked.system,
            "messages": [
                {"role": "user", "content": rubric.user_message(request.prompt, request.completion)}
            ],
            "output_config": output,
        }

    def send(
        self, requests: Sequence[Request], store: Store, budget: Budget, progress: Progress | None
    ) -> None:
        """Judge the requests, in batches or in real time as `judge.batch` says.

        Batches of an earlier start are collected first in both modes, because they are paid for.
        """
        if self.params.batch or store.open_batches():
            with self._client(max(600.0, self.params.timeout)) as client:
                session = batches.Session(client, self, store, budget, progress)
                if self.params.batch:
                    session.send(requests)
                    return
                session.collect_open()
            requests = self.unsettled({request.key: request for request in requests}, store)
        run_apart(lambda: self._real_time(requests, store, budget, progress))

    async def _real_time(
        self, requests: Sequence[Request], store: Store, budget: Budget, progress: Progress | None
    ) -> None:
        """Judge the requests in real time, at most `judge.concurrency` at once."""
        gate = Gate(self.params.concurrency, budget)

        async def on_response(response: httpx2.Response) -> None:
            if response.status_code in PUSH_BACK:
                gate.pushed_back(asyncio.get_running_loop().time())

        def keep(key: str, judgment: Judgment) -> None:
            store.add(key, judgment, model=self.name, rubric=self.rubric)

        # By default the SDK keeps 100 idle connections. With more calls in flight, every further
        # call would open a new one.
        limits = httpx2.Limits(
            max_connections=self.params.concurrency,
            max_keepalive_connections=self.params.concurrency,
        )
        make = httpx2.AsyncClient if self._http else anthropic.DefaultAsyncHttpxClient
        http = make(limits=limits, event_hooks={"response": [on_response]}, **self._http)
        async with anthropic.AsyncAnthropic(
            api_key=self._key, timeout=self.params.timeout, max_retries=RETRIES, http_client=http
        ) as client:
            await run(requests, lambda request: self._call(client, request), keep, gate, progress)

    async def _call(self, client: anthropic.AsyncAnthropic, request: Request) -> Judgment:
        """One judgment.

        Raises Unanswered without a usable reply, JudgeError for a rejected key.
        """
        try:
            async with asyncio.timeout(self.params.timeout * HANG_FACTOR):
                response = await client.messages.with_raw_response.create(**self.body(request))
                message = response.http_response.json()
        except anthropic.APIError as error:
            raise self.stop(error) or Unanswered(self.reason(error)) from None
        except TimeoutError:
            raise Unanswered(
                f"no complete answer within {self.params.timeout * HANG_FACTOR:g} s"
            ) from None
        except ValueError:
            raise Unanswered("the answer is not JSON") from None
        return self.read(message, request.suite, batch=False)

    def read(self, message: dict[str, Any], suite: str, batch: bool) -> Judgment:
        """The judgment in a message of the API; `error` if it does not have the form of one."""
        try:
            return answers.from_message(message, rubric.rubric_of(suite), self.price, batch)
        except (AttributeError, TypeError):
            return Judgment("error")

    def stop(self, error: Exception) -> JudgeError | None:
        """The error that ends a session because the API rejects the key, or None."""
        if isinstance(error, (anthropic.AuthenticationError, anthropic.PermissionDeniedError)):
            return JudgeError(
                f"the API rejected the key in {KEY} ({self.reason(error)}); set one that may use "
                f"{self.params.model!r}. Every answer so far is kept"
            )
        return None

    def reason(self, error: Exception) -> str:
        """An API error in one line, without the key if the API sent it back."""
        status = getattr(error, "status_code", None)
        text = getattr(error, "api_message", None) or getattr(error, "message", None) or str(error)
        line = " ".join(f"{f'{status} ' if status else ''}{text}".split())
        return line.replace(self._key, "(key)")[:300]
