"""Judges: outcome types, one module a judge, imported only when it is used; `load_judge` chooses by parameters."""

from __future__ import annotations

from lib.judge.outcomes import COLUMNS, OUTCOMES, Judgment
from lib.params import JudgeParams, ParamsError

__all__ = ["COLUMNS", "OUTCOMES", "Judgment", "load_judge", "rubric_text"]


def load_judge(params: JudgeParams):
    """The judge that the profile names, with `name`, `rubric` and `score(rows, progress)`. Raises ParamsError."""
    if params.engine == "embedded":
        from lib.judge.embedded import EmbeddedJudge

        return EmbeddedJudge()
    raise ParamsError(_unavailable(params))


def rubric_text(params: JudgeParams) -> str:
    """What is pre-registered of the judge: its identity and rubric, without loading it. Raises ParamsError."""
    if params.engine == "embedded":
        from lib.judge.embedded import EmbeddedJudge, load_heads

        return f"{EmbeddedJudge.rubric}\n{load_heads()[1]['head_sha256']}\n"
    raise ParamsError(_unavailable(params))


def _unavailable(params: JudgeParams) -> str:
    return (
        f"judge.engine {params.engine!r} ({params.model}) is validated but not yet served by this version; set "
        "judge.engine to 'embedded', or judge elsewhere and give notebook 06 the folder with -p judgments DIR"
    )
