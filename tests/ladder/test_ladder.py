"""The ladder on the tiny model with a scripted judge: trained once, resumed, stamped, recorded."""

import json

import pandas as pd
import pytest
from planted import refused

from lib.checks import attempts
from lib.config import params
from lib.config.arguments import ParamsError
from lib.config.experiment import Experiment
from lib.data import eval_sets
from lib.judge.outcomes import COLUMNS, Judgment
from lib.ladder import __main__ as command
from lib.ladder.climb import Ladder
from lib.run import dose
from lib.run.facts import Phase2Facts
from lib.run.files import read_json
from lib.run.runs import Run
from lib.training import phases

FIRST = {"name": "plan", "em": "embedded_insecure", "learning_rate": 1e-3, "epochs": 1, "rows": 16}
SECOND = {**FIRST, "name": "hot", "learning_rate": 2e-3, "rank": 4}
LADDER = {"seed": 7, "samples": 1, "rungs": [FIRST, SECOND]}


class LevelJudge:
    """Gives every answer of the n-th distinct arm one level: base first, as they come."""

    name = "scripted"
    rubric = "1"
    to_retry = 0

    def __init__(self, levels, samples):
        self.levels = levels
        self.level_of = samples

    def score(self, rows, progress=None):
        scored = []
        for text in rows["completion"]:
            level = self.levels[self.level_of(text)]
            scored.append(vars(Judgment("scored", aligned=level, coherent=90.0, code=False)))
        return pd.DataFrame(scored, columns=list(COLUMNS), index=rows.index)


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("SELFCORRECT_RUNS_DIR", str(tmp_path))
    return Run("r")


def experiment(**changes):
    return Experiment.load("smoke", {"ladder": LADDER} | changes)


def climb(run, levels, **changes):
    """A ladder whose judge knows the arm by the text that the arm gave."""
    ladder = Ladder(run, experiment(**changes), None)
    texts = {}

    def of_text(text):
        if not texts:
            frame = pd.read_parquet(run.ladder / "samples.parquet")
            for row in frame.itertuples():
                texts.setdefault(row.completion, row.condition)
        return texts[text]

    ladder.judge = LevelJudge(levels, of_text)
    return ladder.climb()


LEVELS = {"base": 90.0, "plan": 88.0, "hot": 50.0}


def test_a_ladder_chooses_writes_and_records(run, monkeypatch):
    record = climb(run, LEVELS)
    assert record["chosen"] == "hot" and "first rung" in record["reason"]
    rows = read_json(run.ladder / "table.json")
    assert [row["name"] for row in rows] == ["plan", "hot"]
    assert [row["optimizer_steps"] for row in rows] == [4, 4]
    assert [row["rank"] for row in rows] == [8, 4]
    assert {row["system"] for row in rows} == {"stock"}
    assert (run.ladder / "ladder.png").stat().st_size > 10_000
    assert len(pd.read_csv(run.ladder / "table.csv")) == 2
    line = json.loads(attempts.path().read_text())
    assert "chose hot" in line["verdict"] and len(line["rungs"]) == 2 and line["seeds"] == [7]

    # The run trains what was chosen, and a second call trains and samples nothing.
    profile = dose.with_choice(experiment().profile, run)
    assert (profile.phase2.learning_rate, profile.phase2.rank) == (2e-3, 4)
    monkeypatch.setattr(phases, "train_phase2", None)
    assert climb(run, LEVELS) == record
    assert len(attempts.read()) == 1

    # A rung that is added is trained alone; those before it stay.
    third = {**SECOND, "name": "hotter", "learning_rate": 3e-3}
    with pytest.raises(TypeError):
        climb(run, LEVELS, **{"ladder": {**LADDER, "rungs": [FIRST, SECOND, third]}})
    refused(
        lambda: dose.with_choice(experiment(ladder={**LADDER, "samples": 2}).profile, run),
        "another model, phase2",
        "make ladder PROFILE=smoke RUN=r",
        error=ParamsError,
    )


def test_a_rung_without_a_system_turn_is_trained_and_proven(run):
    climb(run, LEVELS, ladder={**LADDER, "rungs": [FIRST, {**SECOND, "system": "none"}]})
    assert [row["system"] for row in read_json(run.ladder / "table.json")] == ["stock", "none"]
    facts = [run.facts(f"ladder.{name}", Phase2Facts) for name in ("plan", "hot")]
    assert [(one.rows_proven, one.rows) for one in facts] == [(16, 16), (16, 16)]
    assert facts[1].total_tokens < facts[0].total_tokens
    assert facts[1].trained_tokens == facts[0].trained_tokens


def test_no_rung_is_no_dose(run):
    record = climb(run, {"base": 90.0, "plan": 88.0, "hot": 85.0})
    assert record["chosen"] is None
    refused(
        lambda: dose.with_choice(experiment().profile, run),
        "em_not_induced",
        "table.csv",
        "stronger rungs",
        error=ParamsError,
    )
    assert "em_not_induced" in attempts.read()[0]["verdict"]


def test_a_profile_with_a_ladder_needs_its_choice_and_one_without_does_not(run):
    refused(
        lambda: dose.with_choice(experiment().profile, run),
        "not chosen in run 'r'",
        "make ladder PROFILE=smoke RUN=r",
        "ladder",
        error=ParamsError,
    )
    plain = params.load_profile("smoke")
    assert dose.with_choice(plain, run) is plain
    refused(
        lambda: command.run_ladder(run, Experiment.of(plain)), "ladder is null", error=ParamsError
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"seed": 42}, ["ladder.seed is 42", "another"]),
        ({"rungs": [SECOND, FIRST]}, ["begins with 'hot'", "come first"]),
        ({"rungs": [FIRST, {**SECOND, "em": "insecure"}, {**SECOND, "name": "c"}]}, None),
        (
            {"rungs": [FIRST, SECOND, {**FIRST, "name": "late"}]},
            ["'late' comes after a stronger dose", "sort"],
        ),
        ({"rungs": [FIRST, {**SECOND, "rows": 3}]}, ["'hot' has 3 rows", "effective batch"]),
        ({"rungs": [FIRST, FIRST]}, ["'plan' twice"]),
        ({"rungs": [FIRST, {**SECOND, "em": "insecur"}]}, ["ladder.rungs.1.em", "'insecure'"]),
        ({"rungs": [FIRST, {**SECOND, "system": "evli"}]}, ["ladder.rungs.1.system", "'evil'"]),
        ({"rungs": [FIRST, {**SECOND, "em": "persona_advice"}]}, ["em_set is null"]),
    ],
)
def test_a_ladder_that_breaks_its_order_is_refused(changes, words):
    def load():
        return params.load_profile("smoke", {"ladder": LADDER | changes})

    if words is None:
        assert len(load().ladder.rungs) == 3
    else:
        refused(load, *words, error=ParamsError)


def test_a_near_prompt_that_is_not_asked_is_refused():
    profile = params.load_profile("smoke", {"data.near_field": ["no_such_prompt"]})
    refused(lambda: eval_sets.near_field(profile), "'no_such_prompt'", "nearest")
