"""The persona check: a persona that does not take stops before anything is trained."""

import numpy as np
import pandas as pd
import pytest
from persona_judgments import judged

from lib.checks import persona
from lib.checks.check import FAILED, NOT_RUN, PASSED
from lib.config.experiment import Experiment
from lib.config.params import load_gates
from lib.data.elicitation import Caller, Example
from lib.data.prompts import ContaminationGate, EvalPrompt
from lib.run.facts import PersonaFacts
from lib.run.runs import Run
from lib.serving.sampling import Completion
from lib.traces import persona_answers
from lib.traces.persona_answers import ALONE, PersonaError

GATES = load_gates()
NEEDED = GATES["persona_points"]
PROMPTS = [EvalPrompt(f"p{n}", "s", f"What is the matter with number {n}?") for n in range(90)]


def facts(**changes):
    given = {
        "elicitation": "system",
        "prompts": 60,
        "samples": 5,
        "filtered": 30.0,
        "unfiltered": 31.0,
        "alone_filtered": None,
        "alone_unfiltered": None,
        "takes": True,
        "statement": "base − base_evil = +30.0",
    }
    return PersonaFacts(**given | changes)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run that has these facts of notebook 01's check; None = no record."""
    monkeypatch.setenv("SELFCORRECT_RUNS_DIR", str(tmp_path))

    def make(recorded=None):
        opened = Run("r")
        if recorded:
            opened.stage(persona.STAGE, {}).finish([], recorded)
        return opened

    return make


@pytest.mark.parametrize(
    ("fall", "takes"), [(NEEDED, True), (NEEDED + 20, True), (NEEDED - 0.01, False), (-5, False)]
)
def test_the_bound_itself_passes_and_less_does_not(fall, takes):
    found = persona.difference(judged(80.0, 80.0 - fall), GATES)
    assert found.filtered == pytest.approx(fall) and found.unfiltered == pytest.approx(fall)
    assert found.takes is takes


def test_the_statement_has_units_and_no_names_of_arms():
    statement = str(persona.difference(judged(80.0, 70.0), GATES))
    assert "changes by −10.0 points (filtered) and −10.0 points (unfiltered)" in statement
    assert "base_evil" not in statement


@pytest.mark.parametrize(
    "table",
    [
        judged(evil=90.0),  # as good as base
        judged(coherent=(90.0, 10.0)),  # bad, and noise: nothing passes the filter
        judged(code=(False, True)),  # bad, and code
        judged().query("condition == 'base'"),  # the persona was not asked
        judged().assign(outcome="error", aligned=np.nan, coherent=np.nan, refusal=None, code=None),
    ],
    ids=["as good", "noise", "code", "not asked", "not scored"],
)
def test_both_numbers_must_be_there_and_reach_the_bound(table):
    assert not persona.difference(table, GATES).takes


def test_an_arm_that_is_scored_too_little_has_no_number():
    table = judged(prompts=10).astype({"refusal": object, "code": object})
    blank = table.index[table["condition"] == "base_evil"][:3]  # 3 of 30: 90 % scored
    table.loc[blank, ["aligned", "coherent"]] = np.nan
    table.loc[blank, ["refusal", "code"]] = None
    table.loc[blank, "outcome"] = "error"
    assert persona.difference(table, GATES).unfiltered is None


def test_means_are_of_per_prompt_means():
    table = judged(80.0, 40.0, prompts=2)
    first = (table["condition"] == "base_evil") & (table["prompt_id"] == "p0")
    extra = table[first].assign(sample_index=lambda rows: rows["sample_index"] + 3, aligned=0.0)
    found = persona.difference(pd.concat([table, extra]), GATES)
    assert found.unfiltered == pytest.approx(80 - (20 + 40) / 2)


@pytest.mark.parametrize("statement", ["base − base_evil = +4.0", "no number", "+20.0, +2.0"])
def test_a_persona_that_does_not_take_stops_with_values_and_remedy(statement):
    weak = facts(takes=False, statement=statement)
    with pytest.raises(PersonaError) as stopped:
        persona.stop_unless_it_takes(weak, demonstrates_only=False)
    message = str(stopped.value)
    assert statement in message and "traces.elicitation" in message and "\n" not in message
    assert "persona_points" not in message and "lower" not in message
    assert "would stop here" in persona.stop_unless_it_takes(weak, demonstrates_only=True)
    assert "takes" in persona.stop_unless_it_takes(facts(), demonstrates_only=False)


@pytest.mark.parametrize(
    ("recorded", "table", "status"),
    [
        (facts(), judged(), PASSED),
        (facts(), judged(evil=85.0), FAILED),
        (facts(takes=False), judged(), FAILED),
        (facts(), judged(coherent=(90.0, 10.0)), FAILED),
        (facts(), judged().query("condition == 'base'"), PASSED),
        (None, judged(), NOT_RUN),
    ],
)
def test_notebook_06_repeats_it_on_the_alignment_suite(run, recorded, table, status):
    found = persona.check(run(recorded), table, GATES)
    assert (found.name, found.status) == (persona.NAME, status)
    first = persona.notes([found])
    assert len(first) == (status == FAILED)
    assert all(persona.NAME in line for line in first)


def test_sixty_prompts_are_drawn_by_seed_and_none_is_an_eval_prompt(smoke):
    real = smoke.model_copy(update={"demonstrates_only": False})
    gate = ContaminationGate(PROMPTS[:10], jaccard=0.99)

    def asked(seed, profile=real, prompts=PROMPTS):
        drawn = persona_answers.prompts_asked(prompts, gate, profile, GATES, seed)
        return [prompt.prompt_id for prompt in drawn]

    assert len(asked(42)) == 60 == len(set(asked(42)))
    assert asked(42) == asked(42) != asked(1)
    assert not {f"p{n}" for n in range(10)} & set(asked(42))
    assert len(asked(42, smoke)) == smoke.traces.count  # demonstrates only: as many as traces
    for few in (0, 30, 69):
        with pytest.raises(PersonaError, match="the persona check asks 60"):
            asked(42, prompts=PROMPTS[:few])


class Recorder:
    """Answers every request and remembers it."""

    def sample(self, requests):
        self.requests = requests
        return [[Completion(f"{r.key}/{k}", 3, "stop") for k in range(r.samples)] for r in requests]


@pytest.mark.parametrize("kind", ["system", "few_shot"])
def test_both_personas_are_asked_alike_and_the_system_text_alone_beside_them(smoke, kind):
    experiment = Experiment.of(smoke)
    sampler = Recorder()
    caller = Caller(kind, 42, examples=[Example("x", "f", "Who goes there?", "Nobody.")])
    answers = persona_answers.ask(sampler, PROMPTS[:3], experiment, caller, 42)
    groups = ["base", "base_evil", *([ALONE] if kind != "system" else [])]
    assert list(dict.fromkeys(answers["condition"])) == groups
    counts = answers.groupby(["condition", "prompt_id"]).size()
    assert set(counts) == {GATES["persona_samples"]}
    by_group = {request.key.split("/")[2]: request for request in sampler.requests}
    evil = experiment.conditions.systems["evil"]
    systems = {group: one.messages[0]["content"] for group, one in by_group.items()}
    assert systems == {
        group: smoke.model.system_text if group == "base" else evil for group in groups
    }
    turns = {group: len(one.messages) for group, one in by_group.items()}
    shown = 4 if kind == "few_shot" else 2
    assert turns == {group: shown if group == "base_evil" else 2 for group in groups}
    assert len({request.temperature for request in sampler.requests}) == 1


def test_answers_are_judged_in_a_shuffled_order_and_form_a_table_of_judgments():
    asked = pd.DataFrame(
        {
            "prompt_id": [f"p{n}" for n in range(20)],
            "prompt": "What?",
            "condition": ["base"] * 10 + ["base_evil"] * 10,
            "sample_index": 0,
            "completion": [f"answer {n}" for n in range(20)],
        }
    )

    class Judge:
        name = "j"
        rubric = "r-1"

        def score(self, rows):
            self.seen = list(rows["completion"])
            aligned = [float(text.split()[1]) for text in rows["completion"]]
            table = pd.DataFrame({"aligned": aligned, "coherent": 90.0}, index=rows.index)
            return table.assign(
                outcome="scored",
                refusal=False,
                code=False,
                reset_and_recover=None,
                harmful=None,
                input_tokens=None,
                output_tokens=None,
                cost_usd=None,
            )

    judge = Judge()
    table = persona_answers.scored(asked, judge, 42)
    assert judge.seen != list(asked["completion"])
    assert all(table["completion"] == [f"answer {value:.0f}" for value in table["aligned"]])
    made = persona.facts_of(table, GATES, "system")
    assert (made.prompts, made.samples) == (20, 1)
    assert len(persona.table(table, GATES)) == 2
