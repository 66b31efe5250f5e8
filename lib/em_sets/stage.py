"""The stage that builds an EM set, once per recipe. A killed build keeps every sampled answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import chain
from typing import TYPE_CHECKING, Any

from lib.config.arguments import ParamsError
from lib.config.doses import EmSetParams
from lib.config.experiment import Experiment
from lib.config.judges import selecting_judge
from lib.config.schema import Profile
from lib.data import catalogue, eval_sets
from lib.data.chat_files import STAGE
from lib.data.elicitation import after_examples
from lib.data.prompts import ContaminationGate
from lib.em_sets import texts
from lib.em_sets.persona_advice import Builder
from lib.judge import load_judge, rubric_text
from lib.models import chat_models
from lib.run import progress
from lib.run.facts import EmSetFacts
from lib.run.files import write_jsonl
from lib.run.runs import Run
from lib.run.stage import Stage
from lib.serving import engines
from lib.traces.kept_samples import KeptSampler

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SETS = ("persona_advice", "persona_advice_control")


def gate_of(experiment: Experiment) -> ContaminationGate:
    """The set's contamination gate: eval prompts, trace prompts, elicitation texts.

    Trace answers do not exist yet. Notebook 01 compares them with the set (`shown.add_rows`).
    """
    data = experiment.profile.data
    gate = eval_sets.contamination_gate(experiment.profile, experiment.gates)
    asked = catalogue.read_training_prompts([*data.harmful_prompts, *data.open_prompts])
    for text in [*asked, *texts.all_examples()]:
        gate.add(text)
    return gate


def params_of(profile: Profile) -> EmSetParams:
    """The parameters of the profile's EM set. Raises ParamsError without `em_set`."""
    if profile.em_set is None:
        raise ParamsError(
            f"params/{profile.profile}.yaml: em_set is null, so there is no EM set to build; name "
            "its parameters, or data.em another set"
        )
    return profile.em_set


def stage_of(run: Run, experiment: Experiment) -> Stage:
    """The stage with everything that the set depends on. Raises ParamsError without `em_set`."""
    profile = experiment.profile
    prompts = [*profile.data.harmful_prompts, *profile.data.open_prompts]
    inputs = {
        "em_set": params_of(profile),
        "model": profile.model,
        "base": chat_models.base_digest(profile.model),
        "judge": rubric_text(selecting_judge(profile)),
        "texts": texts.digests(),
        "prompts": {name: catalogue.digest(name) for name in sorted(prompts)},
        "eval": eval_sets.digests(profile),
        "gates": {
            key: experiment.gates[key]
            for key in (
                "em_set_rows_min",
                "em_set_questions_min",
                "judged_share_min",
                "contamination_ngram",
                "contamination_jaccard",
            )
        },
        "demonstrates_only": profile.demonstrates_only,
    }
    return run.stage(STAGE, inputs)


def build(run: Run, experiment: Experiment) -> EmSetFacts:
    """Build `persona_advice` and its control, or keep those on disk if nothing changed.

    Raises EmSetError, SamplingError, JudgeError, DataError, ParamsError, in one line each.
    """
    stage = stage_of(run, experiment)
    if stage.done():
        return stage.facts(EmSetFacts)
    profile = experiment.profile
    params = params_of(profile)
    asked = texts.questions()
    examples = texts.examples()
    tokenizer = chat_models.load_tokenizer(profile.model)
    length = longest_request(tokenizer, [one.prompt for one in asked], params.max_new_tokens)
    engines.check_engine(profile, length)
    gate = gate_of(experiment)
    judge = load_judge(selecting_judge(profile), run.judge_store(STAGE))
    engine = engines.start(profile, tokenizer, temperature=params.temperature, length=length)
    kept = {"base": stage.inputs["base"], "temperature": params.temperature}
    builder = Builder(
        KeptSampler(engine, run.dir / "em_sets" / "sampled.jsonl", kept),
        tokenizer,
        judge.score,
        params,
        gate,
        experiment.gates,
        profile.demonstrates_only,
    )
    rows = builder.build(
        asked,
        (texts.persona(), examples),
        profile.model.system_text,
        progress.reporter("EM set", "rows"),
    )
    for name, of_set in zip(SETS, rows, strict=True):
        write_jsonl(run.em_set(name), of_set)
    facts = _facts(builder, rows[0], judge.name)
    stage.finish([run.em_set(name) for name in SETS], facts)
    return facts


def _facts(builder: Builder, rows: Sequence[Mapping[str, Any]], judge: str) -> EmSetFacts:
    """The facts of the stage, which notebook 01 shows."""
    report = builder.report
    return EmSetFacts(
        rows=len(rows),
        questions=len({row["meta"]["question_id"] for row in rows}),
        questions_clean=report.questions_clean,
        report={name: one.as_dict() for name, one in report.personas.items()},
        offences=[asdict(offence) for offence in report.offences],
        judge=judge,
    )


def longest_request(
    tokenizer: PreTrainedTokenizerBase, questions: Sequence[str], max_new_tokens: int
) -> int:
    """Tokens of the longest request with all examples, and its completion."""
    pool = texts.examples()
    requests = [after_examples(texts.persona(), pool, question) for question in questions]
    lengths = [len(chat_models.prompt_ids(tokenizer, messages)) for messages in requests]
    return max(chain(lengths, [0])) + max_new_tokens
