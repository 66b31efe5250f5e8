"""Judges: outcome types, one module a judge, imported only when it is used; `load_judge` chooses by parameters."""

from __future__ import annotations

from pathlib import Path

from lib.config.schema import JudgeParams
from lib.judge.outcomes import COLUMNS, OUTCOMES, JudgeError, Judgment
from lib.judge.protocol import Judge

__all__ = ["COLUMNS", "OUTCOMES", "Judge", "JudgeError", "Judgment", "load_judge", "rubric_text"]


def load_judge(params: JudgeParams, stage: Path) -> Judge:
    """The judge that the profile names.

    stage: where a judge keeps what it was answered, `Run.judge_store`. What would stop it from
    judging, such as a missing key, is an error here, before any work. Raises ParamsError,
    JudgeError.
    """
    if params.engine == "embedded":
        from lib.judge.embedded.judge import EmbeddedJudge

        return EmbeddedJudge(
            kept=stage.with_suffix(".embedded")
        )  # no .sqlite, which the ledger of what was paid reads
    if params.engine == "local" and params.base_url is None:
        from lib.judge.llm.in_process import LocalModelJudge

        return LocalModelJudge(params, stage)
    if params.engine == "local":
        from lib.judge.llm.endpoint import LocalJudge

        return LocalJudge(params, stage)
    from lib.judge.llm.claude import ClaudeJudge

    return ClaudeJudge(params, stage)


def rubric_text(params: JudgeParams) -> str:
    """What is pre-registered of the judge: its identity and rubric, without a key or a network. Raises ParamsError."""
    if params.engine == "embedded":
        from lib.judge.embedded.judge import EmbeddedJudge, load_heads

        return f"{EmbeddedJudge.rubric}\n{load_heads()[1]['head_sha256']}\n"
    from lib.judge.llm import prices, rubric

    if params.engine == "anthropic":
        prices.model_facts(params.model)
    return f"{params.model}\n{rubric.VERSION}\n{rubric.TEXT}\n"
