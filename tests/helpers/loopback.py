"""A server on this machine that speaks the Messages and Batches APIs, with faults by script.

`faults[completion]` is a list. Each request for that completion takes the next fault, and gets a
good answer once none is left.
"""

from __future__ import annotations

import json
import re
import socket
import threading
from collections import defaultdict
from datetime import UTC, datetime, timedelta

from loopback_replies import chat, completion_of, cut, error, message, reply
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

KEY = "canary-5f1d9c"
MODEL = "claude-sonnet-5-5"
STATUS = {"429": 429, "500": 500, "529": 529, "400": 400, "401": 401}


class Loopback:
    """A script for the server, made anew by each test.

    A request without a scripted fault gets a good answer, always the same one.
    """

    def __init__(self, server: HTTPServer):
        self.server = server
        self.server.clear()
        self.server.expect_request(re.compile(".*")).respond_with_handler(self._handle)
        self.lock = threading.Lock()
        self.faults: dict[str, list[str]] = defaultdict(list)
        self.bodies: list[dict] = []  # every request to judge in real time, in order of arrival
        self.batches: dict[str, dict] = {}
        self.create_faults: list[str] = []
        self.result_faults: list[str] = []
        self.polls_before_end = 1
        self.not_found = 0
        self.reached = threading.Event()
        self.release = threading.Event()
        self.in_flight = 0
        self.most_in_flight = 0
        self.model = {
            "id": MODEL,
            "type": "model",
            "display_name": MODEL,
            "created_at": "2026-09-29T00:00:00Z",
            "lifecycle": "active",
        }

    @property
    def url(self) -> str:
        return self.server.url_for("").rstrip("/")

    def sent(self) -> list[str]:
        """Completions in the order in which they were asked about, in real time."""
        return [completion_of(body) for body in self.bodies]

    def batched(self) -> list[str]:
        """Completions of all batches, in the order of creation."""
        completions = []
        for batch in self.batches.values():
            completions += [completion_of(asked["params"]) for asked in batch["requests"]]
        return completions

    def _handle(self, request: Request) -> Response:
        path = request.path
        if request.headers.get("Authorization") != f"Bearer {KEY}":
            return error(
                401, "authentication_error", f"invalid key {request.headers.get('Authorization')}"
            )
        if path == "/v1/models":
            return reply({"data": [{"id": "served"}]})
        if path.startswith("/v1/models/"):
            known = path.endswith(f"/{self.model['id']}")
            return reply(self.model) if known else error(404, "not_found_error", "no such model")
        if path == "/v1/messages/batches":
            return self._create(request) if request.method == "POST" else self._list()
        if path.startswith("/v1/messages/batches/"):
            return self._batch(request, *path.removeprefix("/v1/messages/batches/").split("/"))
        return self._judge(request)

    def _judge(self, request: Request) -> Response:
        body = json.loads(request.get_data())
        with self.lock:
            self.bodies.append(body)
            self.in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self.in_flight)
            fault = self._next(completion_of(body))
        try:
            if fault == "hang":
                self.reached.set()
                self.release.wait(60)
                fault = "500"
            if fault == "drop":
                request.environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
            if fault in STATUS:
                return error(
                    STATUS[fault], "api_error", f"scripted, key {KEY}", {"retry-after": "0.001"}
                )
            if fault == "no json":
                return Response("not json", 200)
            whole = chat(body, fault) if "chat" in request.path else reply(message(body, fault))
            return cut(whole) if fault == "half" else whole
        finally:
            with self.lock:
                self.in_flight -= 1

    def _next(self, completion: str) -> str | None:
        faults = self.faults.get(completion)
        return faults.pop(0) if faults else None

    def _create(self, request: Request) -> Response:
        fault = self.create_faults.pop(0) if self.create_faults else None
        if fault in STATUS:
            return error(STATUS[fault], "api_error", "scripted")
        id = f"msgbatch_{len(self.batches)}"
        self.batches[id] = {
            "requests": json.loads(request.get_data())["requests"],
            "polls": 0,
            "not_found": self.not_found,
            "created_at": datetime.now(UTC) + timedelta(seconds=1),
        }
        if fault in ("lost", "hang"):  # the batch is made, and nobody hears of it
            self.reached.set()
            if fault == "hang":
                self.release.wait(60)
            request.environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
        return reply(self._shown(id))

    def _list(self) -> Response:
        shown = [self._shown(id) for id in reversed(self.batches)]
        return reply({"data": shown, "has_more": False, "first_id": None, "last_id": None})

    def _shown(self, id: str) -> dict:
        batch = self.batches[id]
        ended = batch["polls"] >= self.polls_before_end
        counts = dict.fromkeys(("processing", "succeeded", "errored", "canceled", "expired"), 0)
        counts["succeeded" if ended else "processing"] = len(batch["requests"])
        at = batch["created_at"].isoformat()
        archived = batch.get("archived_at")
        results = f"{self.url}/v1/messages/batches/{id}/results"
        return {
            "id": id,
            "type": "message_batch",
            "processing_status": "ended" if ended else "in_progress",
            "created_at": at,
            "expires_at": at,
            "request_counts": counts,
            "archived_at": archived,
            "results_url": results if ended and not archived else None,
        }

    def _batch(self, request: Request, id: str, results: str = "") -> Response:
        batch = self.batches[id]
        if batch["not_found"]:
            batch["not_found"] -= 1
            return error(404, "not_found_error", "no such batch yet")
        if not results:
            shown = self._shown(id)
            batch["polls"] += 1
            return reply(shown)
        if "lines" not in batch:
            # In another order than the requests.
            lines = [self._line(asked) for asked in reversed(batch["requests"])]
            batch["lines"] = [line for line in lines if line]
        fault = self.result_faults.pop(0) if self.result_faults else None
        if fault == "hang":
            self.reached.set()
            self.release.wait(60)
        whole = Response("".join(batch["lines"]), 200, content_type="application/x-jsonl")
        return cut(whole) if fault == "half" else whole

    def _line(self, request: dict) -> str:
        fault = self._next(completion_of(request["params"]))
        if fault == "missing":
            return ""
        if fault in ("expired", "canceled"):
            result = {"type": fault}
        elif fault == "errored":
            reason = {"type": "invalid_request_error", "message": "scripted"}
            failure = {"type": "error", "request_id": None, "error": reason}
            result = {"type": "errored", "error": failure}
        else:
            result = {"type": "succeeded", "message": message(request["params"], fault)}
        return json.dumps({"custom_id": request["custom_id"], "result": result}) + "\n"
