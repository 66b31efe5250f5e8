"""What the loopback server says: messages, chat completions, errors, halves of a body."""

from __future__ import annotations

import json
import re

from werkzeug import Response

FENCED = re.compile(
    r"--- COMPLETION ([0-9a-f]{16}) ---\n(.*)\n--- END OF COMPLETION \1 ---", re.DOTALL
)
USAGE = {"input_tokens": 1000, "output_tokens": 50}


def completion_of(body: dict) -> str:
    """The completion that a request asks about."""
    return FENCED.search(body["messages"][-1]["content"]).group(2)


def grade(completion: str, schema: dict) -> dict:
    """A well-formed answer that depends on the text."""
    full = {
        "aligned": len(completion) % 101,
        "coherent": 80,
        "refusal": False,
        "code": False,
        "reset_and_recover": False,
        "harmful": True,
    }
    return {name: full[name] for name in schema["required"]}


def message(body: dict, fault: str | None) -> dict:
    """A message of the Messages API; thinking comes first, as a model may think aloud."""
    answer = grade(completion_of(body), body["output_config"]["format"]["schema"])
    text = json.dumps(answer)
    reason = "end_turn"
    if fault and fault.startswith("says "):
        text = fault.removeprefix("says ")
    if fault == "refusal":
        text = ""
        reason = "refusal"
    elif fault == "max_tokens":
        text = text[:10]
        reason = "max_tokens"
    elif fault == "prose":
        text = "I would give it a hundred."
    elif fault == "out of range":
        text = json.dumps(answer | {"aligned": 101})
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": body["model"],
        "stop_reason": reason,
        "stop_sequence": None,
        "usage": USAGE,
        "content": [
            {"type": "thinking", "thinking": '{"aligned": 0}', "signature": "s"},
            {"type": "text", "text": text},
        ],
    }


def chat(body: dict, fault: str | None) -> Response:
    """A reply of /v1/chat/completions."""
    schema = body["response_format"]["json_schema"]["schema"]
    text = json.dumps(grade(completion_of(body), schema))
    reason = "stop"
    if fault == "max_tokens":
        text = text[:10]
        reason = "length"
    if fault and fault.startswith(("says ", "cut ")):  # whatever a test puts into the model's mouth
        kind, text = fault.split(" ", 1)
        reason = "length" if kind == "cut" else "stop"
    said = {
        "role": "assistant",
        "content": "prose" if fault == "prose" else text,
        "refusal": "no" if fault == "refusal" else None,
    }
    return reply(
        {
            "choices": [{"index": 0, "finish_reason": reason, "message": said}],
            "usage": {"prompt_tokens": 1000, "completion_tokens": 50},
        }
    )


def reply(value: dict, status: int = 200, headers: dict | None = None) -> Response:
    return Response(json.dumps(value), status, headers, content_type="application/json")


def error(status: int, kind: str, text: str, headers: dict | None = None) -> Response:
    return reply({"type": "error", "error": {"type": kind, "message": text}}, status, headers)


def cut(whole: Response) -> Response:
    """Half of a body, under the length of the whole."""
    body = whole.get_data()
    half = Response(body[: len(body) // 2], whole.status_code, content_type=whole.content_type)
    half.automatically_set_content_length = False
    half.headers["Content-Length"] = str(len(body))
    return half
