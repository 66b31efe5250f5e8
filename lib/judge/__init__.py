"""Load the judge that a profile names. A judge's module is imported only if it is used."""

from __future__ import annotations

from pathlib import Path

from lib.config.measurement import JudgeParams
from lib.judge.protocol import Judge


def load_judge(params: JudgeParams, stage: Path) -> Judge:
    """The judge that the parameters name.

    stage: the file in which a judge keeps its answers (`Run.judge_store`).

    Raises ParamsError or JudgeError, before any work, if it cannot judge: a missing key, say.
    """
    if params.engine == "embedded":
        from lib.judge.embedded.judge import EmbeddedJudge

        # Not .sqlite: the ledger of what was paid reads every such file.
        return EmbeddedJudge(kept=stage.with_suffix(".embedded"))
    if params.engine == "probe":
        from lib.judge.probe.judge import ProbeJudge

        return ProbeJudge(params, kept=stage.with_suffix(".probe"))
    if params.engine == "local" and params.base_url is None:
        from lib.judge.llm.in_process import LocalModelJudge

        return LocalModelJudge(params, stage)
    if params.engine == "local":
        from lib.judge.llm.endpoint import LocalJudge

        return LocalJudge(params, stage)
    from lib.judge.llm.claude import ClaudeJudge

    return ClaudeJudge(params, stage)


def check_key(params: JudgeParams) -> None:
    """Raise JudgeError if the judge needs a key that is not in the environment. No network."""
    if params.engine == "anthropic":
        from lib.judge.llm.key import api_key

        api_key()


def rubric_text(params: JudgeParams) -> str:
    """The judge's identity and rubric as one text, which is pre-registered.

    It needs no key and no network. Raises ParamsError.
    """
    if params.engine == "embedded":
        from lib.judge.embedded.heads import load_heads
        from lib.judge.embedded.judge import EmbeddedJudge

        return f"{EmbeddedJudge.rubric}\n{load_heads()[1]['head_sha256']}\n"
    if params.engine == "probe":
        from lib.judge.probe.judge import identity

        return identity(params.model)
    from lib.judge.llm import prices, questions, rubric

    if params.engine == "local" and params.base_url is None:
        return f"{params.model}\n{questions.VERSION}\n{questions.TEXT}\n"
    if params.engine == "anthropic":
        prices.model_facts(params.model)
    return f"{params.model}\n{rubric.VERSION}\n{rubric.TEXT}\n"
