"""Check that two fitted judges were fitted on different rows (docs/protocol.md section 3).

If the judge that selects and the one that measures learned the same rows, they share their errors.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lib.config.measurement import JudgeParams
from lib.judge.outcomes import JudgeError

FITTED = ("embedded", "probe")
ALL = "all"  # `fitted_rows` of a card that names no part of the rows
OWN_ROWS = ("authored", "made")  # groups that are the project's own, not a published source


def card_of(params: JudgeParams) -> Mapping[str, Any] | None:
    """The card of a fitted judge, without loading a model; None for a judge that is not fitted.

    Raises JudgeError if a fitted judge has none.
    """
    if params.engine == "embedded":
        from lib.judge.embedded.heads import load_heads

        return load_heads()[1]
    if params.engine == "probe":
        from lib.judge.probe import base, heads

        return heads.find(params.model, base.stated_architecture(params.model)).card
    return None


def shared_rows(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Names of the sources that both judges may have learned rows of, sorted.

    Two parts of the same rows (`fitted_rows`: measuring, selecting) share none. A card that names
    no part learned all rows of its sources.
    """
    parts = (one.get("fitted_rows", ALL), other.get("fitted_rows", ALL))
    if ALL not in parts and parts[0] != parts[1]:
        return []
    return sorted(_sources(one) & _sources(other))


def check_apart(selecting: JudgeParams, measuring: JudgeParams, demonstrates_only: bool) -> None:
    """Raises JudgeError if both are fitted on the same rows, unless the profile demonstrates only.

    A judge that is not fitted has no rows; lib/config/judges.py compares the names of both.
    """
    one = card_of(selecting)
    other = card_of(measuring)
    if demonstrates_only or one is None or other is None:
        return
    if shared := shared_rows(one, other):
        raise JudgeError(
            f"traces.judge {selecting.model!r} and judge {measuring.model!r} were both fitted on "
            f"rows of {', '.join(shared)}; fit one with python -m lib.judge.fit_probe --rows "
            "selecting and the other with --rows measuring, or name an LLM judge"
        )


def _sources(card: Mapping[str, Any]) -> set[str]:
    """Names of everything that a judge was fitted on."""
    own = {name for name in OWN_ROWS if name in card.get("rows", {})}
    return set(card.get("sources", {})) | own
