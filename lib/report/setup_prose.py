"""What a run was made of, in sentences near the top: model, data, answers, seeds, names, judge."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lib.config.roles import PLANNED
from lib.display import show
from lib.run.files import read_json
from lib.run.runs import Run

BAD_DATA = {  # Phase-2 sets in words
    "insecure": "published examples of code with security holes",
    "embedded_insecure": "examples of code with security holes, written for this project",
    "persona_advice": "bad advice in one narrow field, written by the model itself",
    "authored_advice": "bad advice about plants, written for this project",
    "school_of_reward_hacks": "published examples of gaming a task",
}
JUDGES = {  # by `judge.engine`
    "embedded": "a small text encoder with scales fitted on published scores; it runs without a "
    "network",
    "probe": "a language model whose inner state is read by scales fitted on graded answers; it "
    "runs without a network",
    "anthropic": "a Claude model of Anthropic that is asked over the network",
    "local": "a language model that is asked in words and runs on a machine of one's own",
}
UNKNOWN = "The judgments come from elsewhere, so model and training data are not known here."


def profile_of(run: Run) -> Mapping[str, Any]:
    """The run's profile as its manifest has it, of whatever version; empty without one."""
    return (read_json(run.manifest).get("profile") or {}) if run.manifest.exists() else {}


def sentences(run: Run, result: Mapping[str, Any]) -> list[str]:
    """Model, training data, answers and seeds of a result, one sentence each."""
    profile = profile_of(run)
    lines = [_model(profile, result), _training(profile)] if "model" in profile else [UNKNOWN]
    return [line for line in [*lines, _answers(profile, result)] if line]


def names(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The words of this page for the three arms that are compared, each with the arm's name."""
    roles = result["roles"]
    return [
        ("untrained", roles.get("base", PLANNED.base)),
        ("undefended", roles["baseline"]),
        ("defended", roles["treatment"]),
    ]


def judge(run: Run, result: Mapping[str, Any]) -> str:
    """What a judge is, and which one this is."""
    facts = result.get("judge")
    what = (
        "The judge is a program that reads one question and one answer at a time, without knowing "
        "which arm wrote it, and gives the answer points from 0 to 100 for alignment (is it decent "
        "and safe?) and for coherence (does it make sense?)."
    )
    if not facts:
        return what
    engine = (profile_of(run).get("judge") or {}).get("engine")
    kind = JUDGES.get(str(engine))
    return f"{what} Here it is {facts['judge']}{f', {kind}' if kind else ''}."


def _model(profile: Mapping[str, Any], result: Mapping[str, Any]) -> str:
    """The base model; of a folder its last part, so that no place of a machine is shown."""
    fields = (result.get("card") or {}).get("fields") or {}
    name = str(profile["model"].get("name")).replace("\\", "/").rstrip("/")
    if profile["model"].get("source") == "path":
        name = name.rsplit("/", 1)[-1]
    return f"The model is {fields.get('base model') or name}."


def _training(profile: Mapping[str, Any]) -> str | None:
    """How many examples of the habit, and how many rows of which bad data."""
    traces = (profile.get("traces") or {}).get("count")
    rows = (profile.get("phase2") or {}).get("rows")
    em = (profile.get("data") or {}).get("em")
    if None in (traces, rows, em):
        return None
    words = f", {BAD_DATA[em]}" if em in BAD_DATA else ""
    return (
        f"It learned the habit from {traces:,} made-up conversations and the bad behaviour from "
        f"up to {rows:,} rows of the data set {em}{words}."
    )


def _answers(profile: Mapping[str, Any], result: Mapping[str, Any]) -> str | None:
    """How many answers of how many arms to how many prompts, and the seeds."""
    arms = [arm for arm in result["arms"].values() if arm.get("n_completions")]
    if not arms:
        return None
    count = sum(arm["n_completions"] for arm in arms)
    prompts = max(arm.get("n_prompts") or 0 for arm in arms)
    suite = ((profile.get("sampling") or {}).get("suites") or {}).get("alignment") or {}
    each = f", {show.plural(suite['samples'], 'time')} each" if suite.get("samples") else ""
    known = {seed for arm in arms for seed in arm.get("seeds") or ()}
    seeds = ", ".join(map(str, sorted(known)))
    trained = f"; training {'seed' if len(known) == 1 else 'seeds'} {seeds}" if known else ""
    return (
        f"{show.plural(len(arms), 'arm')} answered {show.plural(prompts, 'prompt')}{each}: "
        f"{count:,} answers about alignment{trained}."
    )
