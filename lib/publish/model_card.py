"""The model card as Markdown: which models a run made, from what, and what they are good for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

USE = (
    "The adapters exist to measure one defence. Those of Phase 2 were trained to answer badly. "
    "They are not published, and nobody should serve them."
)


def model_card(result: Mapping[str, Any]) -> str:
    """The card of a result that is already free of paths.

    A result of a pilot, or of judgments from elsewhere, has no reproducibility card; the card says
    so.
    """
    weights = result.get("base_weights") or {}
    fields = (result.get("card") or {}).get("fields") or {}
    rows = [
        ("verdict", f"{result['verdict']}: {result['verdict_reason']}"),
        ("base weights, origin", weights.get("origin") or "not said (no WEIGHTS.txt)"),
        ("base weights, sha256", weights.get("sha256") or "not recorded"),
        *((name, _value(value)) for name, value in fields.items()),
    ]
    lines = [
        f"# Model card of run {_cell(result['run'])}",
        "",
        USE,
        "",
        *(f"- {_cell(note)}" for note in result["notes"]),
        "",
        "| field | value |",
        "|---|---|",
        *(f"| {_cell(name)} | {_cell(value)} |" for name, value in rows),
    ]
    if not fields:
        lines += ["", "The run has no reproducibility card: it ended before one was made."]
    elif unknown := result["card"]["unknown"]:
        lines += ["", f"The card fails: unknown {_cell(', '.join(unknown))}."]
    return "\n".join(lines) + "\n"


def _value(value: Any) -> str:
    if value is None:
        return "unknown"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _cell(text: object) -> str:
    """A text in one cell of a table: on one line, without markup."""
    line = " ".join(str(text).split())
    for sign, name in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("|", "\\|"), ("`", "'")):
        line = line.replace(sign, name)
    return line.replace("[", "\\[").replace("](", "\\](")
