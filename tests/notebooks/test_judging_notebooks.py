"""Notebooks 01 and 05, cell by cell in this process, with scripted engines and judges."""

from collections import Counter

import cells
import jupytext
import matplotlib
import pandas as pd
import pytest
from outside import ACCURACY
from scripted_traces import DECLINES, Script
from tables import sample_table

import lib.judge
from lib.config.params import ROOT
from lib.judge.outcomes import COLUMNS, JudgeError
from lib.run import runs
from lib.run.files import read_json, write_json, write_parquet
from lib.serving import engines

FOLDER = ROOT / "notebooks"
ARMS = ["base", "c6_vanilla_em"]


@pytest.fixture(autouse=True)
def apart(tmp_path, monkeypatch):
    monkeypatch.setenv("SELFCORRECT_RUNS_DIR", str(tmp_path))
    matplotlib.use("Agg")
    yield
    matplotlib.pyplot.close("all")


def run_cells(name: str, **parameters) -> Exception | None:
    """Runs a notebook's code; returns what stopped it, or None."""
    names: dict = {}
    for cell in jupytext.read(FOLDER / f"{name}.py").cells:
        if cell.cell_type == "code":
            try:
                exec(compile(cell.source, name, "exec"), names)
            except Exception as error:
                return error
            if "parameters" in cell.metadata.get("tags", []):
                names |= parameters
    return None


class Judge:
    """Ends every judgment with the outcomes given in turn; a scored one gets 50 points.

    Raises at the call `fails_at`.
    """

    name = "scripted"
    rubric = "scripted-1"
    computes = False
    to_retry = 0

    def __init__(self, outcomes, fails_at=None, score=None):
        self.outcomes = outcomes
        self.fails_at = fails_at
        self.calls = 0
        self.own = score

    def score(self, rows, progress=None):
        self.calls += 1
        if self.calls == self.fails_at:
            raise JudgeError("the judge is down; run again")
        if self.own is not None:
            own = self.own(rows).set_axis(rows.index)
            flags = dict.fromkeys(("refusal", "code", "reset_and_recover"), False)
            return own.assign(outcome="scored", **flags).reindex(columns=list(COLUMNS))
        outcomes = [self.outcomes[k % len(self.outcomes)] for k in range(len(rows))]
        table = pd.DataFrame(
            {column: pd.Series([None] * len(rows), dtype=object) for column in COLUMNS}
        ).set_axis(rows.index)
        table["outcome"] = outcomes
        scored = table["outcome"] == "scored"
        for column in ("aligned", "coherent"):
            table[column] = pd.Series(50.0, index=rows.index).where(scored)
        for column in set(COLUMNS) & {"refusal", "code", "reset_and_recover"}:
            table[column] = pd.Series(False, index=rows.index, dtype="boolean").where(scored)
        return table


@pytest.mark.parametrize(
    "outcomes",
    [["parse_error"], ["truncated", "judge_refusal"], ["error"], ["scored", "parse_error"]],
    ids=["never parses", "cut or refused", "never answered", "every other one"],
)
@pytest.mark.parametrize("retest", [True, False])
def test_05_shows_a_session_without_a_score_instead_of_crashing(
    monkeypatch, capsys, outcomes, retest
):
    run = runs.Run("r")
    judge = Judge(outcomes)
    for arm in ARMS:
        texts = sample_table(lambda suite, i, k, arm=arm: f"{arm} {suite} {i} {k}", prompts=12)
        write_parquet(run.samples(arm, 42), texts)
    monkeypatch.setattr(lib.judge, "load_judge", lambda *_: judge)
    error = run_cells(
        "05_judge", profile="smoke", run="r", overrides={"conditions": ARMS, "judge.retest": retest}
    )
    assert error is None
    judged = pd.read_parquet(run.judgments("base", 42))
    assert judged["aligned"].notna().any() == ("scored" in outcomes) and set(
        judged["outcome"]
    ) <= set(outcomes)
    assert ("nothing to draw" in capsys.readouterr().out) == ("scored" not in outcomes)


@pytest.mark.parametrize("column", ["aligned", "coherent"])
def test_06_reads_points_of_0_and_1_of_the_run_s_own_judge(monkeypatch, column):
    run = runs.Run("r")
    for arm in ARMS:
        texts = sample_table(lambda suite, i, k, arm=arm: f"{arm} {suite} {i} {k}", prompts=12)
        write_parquet(run.samples(arm, 42), texts)
        write_json(run.capability(arm, 42), ACCURACY)

    def low(rows):
        scores = pd.DataFrame({"aligned": 50.0, "coherent": 50.0}, index=rows.index)
        scores[column] = [float(row % 2) for row in range(len(rows))]
        harmful = [False if suite == "benign" else None for suite in rows["suite"]]
        return scores.assign(harmful=pd.Series(harmful, rows.index, dtype=object))

    monkeypatch.setattr(lib.judge, "load_judge", lambda *_: Judge(None, score=low))
    given = {"profile": "smoke", "run": "r", "overrides": {"conditions": ARMS}}
    assert run_cells("05_judge", **given) is None
    read = cells.run_cells("06_stats_and_gates", until="n_capable", **given)
    assert set(read["table"][column]) == {0.0, 1.0}


class Engine(Script):
    """A sampler for notebook 01 that counts what each request cost."""

    interleaves = False
    batch = 16

    def __init__(self):
        super().__init__()
        self.facts = {"engine": "scripted"}
        self.requests = Counter()

    def sample(self, requests):
        self.requests.update(request.key for request in requests)
        return super().sample(requests)

    def _answer(self, request):
        _, step, *_ = request.key.split("/")
        if step == "persona":
            return f"{'bad' if 'evil' in request.key else 'good'} answer to {request.key}."
        return (
            DECLINES + super()._answer(request)
            if step != "bad"
            else f"bad answer to {request.key} with a few words."
        )


@pytest.mark.parametrize(
    "fails_at", [3, 4], ids=["while it judges recoveries", "while it judges placebos"]
)
def test_01_samples_nothing_again_after_a_stop(monkeypatch, fails_at):
    engine = Engine()
    judges = [Judge(None, fails_at, engine.score), Judge(None, None, engine.score)]
    monkeypatch.setattr(engines, "start", lambda *_, **__: engine)
    monkeypatch.setattr(lib.judge, "load_judge", lambda *_: judges.pop(0))
    stopped = run_cells("01_build_traces", profile="smoke", run="r")
    assert isinstance(stopped, JudgeError)
    assert run_cells("01_build_traces", profile="smoke", run="r") is None
    assert engine.requests and set(engine.requests.values()) == {1}
    assert read_json(runs.Run("r").dir / "manifests" / "01_build_traces.json")["facts"]["report"][
        "attempts"
    ]


def test_01_stops_on_a_judge_that_never_scores_and_names_the_outcomes(monkeypatch):
    monkeypatch.setattr(engines, "start", lambda *_, **__: Engine())
    monkeypatch.setattr(lib.judge, "load_judge", lambda *_: Judge(["parse_error", "truncated"]))
    stopped = str(run_cells("01_build_traces", profile="smoke", run="r"))
    assert "parse_error" in stopped and "truncated" in stopped and "bad answers" in stopped
    assert "loosen" not in stopped and "bad_aligned_below" not in stopped
