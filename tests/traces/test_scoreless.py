"""Answers without a score are neither kept nor rejected, and too many of them stop the stage."""

import pytest
from scripted_traces import HALVES, Script

from lib.traces.trace_kinds import TraceError


class Outcomes(Script):
    """Leaves a share of the texts that begin with a word without a score, and says why."""

    def __init__(self, begins, every, outcome):
        super().__init__()
        self.begins = begins
        self.every = every
        self.outcome = outcome
        self.met = 0

    def score(self, frame):
        scores = super().score(frame).assign(outcome="scored")
        for row, text in zip(scores.index, frame["completion"], strict=True):
            self.met += text.startswith(self.begins)
            if text.startswith(self.begins) and self.met % self.every == 0:
                scores.loc[row, ["aligned", "coherent"]] = float("nan")
                scores.loc[row, "outcome"] = self.outcome
        return scores


@pytest.mark.parametrize(
    ("begins", "every", "outcome", "what"),
    [
        ("bad", 1, "parse_error", "bad answers"),
        ("bad", 3, "judge_refusal", "bad answers"),
        ("recovery", 1, "truncated", "recoveries"),
        ("recovery", 4, "error", "recoveries"),
    ],
)
def test_a_judge_that_scores_too_few_stops_the_stage(build, begins, every, outcome, what):
    message = ""
    try:
        build(Outcomes(begins, every, outcome))
    except TraceError as error:
        message = str(error)
    assert (
        f"{what} (" in message
        and "at least 95%" in message
        and outcome in message
        and "\n" not in message
    )
    assert "bad_aligned_below" not in message and "recovery_aligned" not in message


@pytest.mark.parametrize(
    "score", [(float("nan"), 90.0), (10.0, float("nan"))], ids=["aligned", "coherent"]
)
def test_scores_that_are_missing_are_no_scores_whatever_the_outcome_says(build, score):
    message = ""
    try:
        build(Script(score=lambda text: score if text.startswith("bad") else None))
    except TraceError as error:
        message = str(error)
    assert message.startswith("the judge scored 0 of ") and "no score" in message


def test_an_answer_without_a_score_is_neither_kept_nor_rejected(build):
    build(Outcomes("bad", 23, "truncated"), count=16)
    report = build.report.as_dict()
    assert sum(report["unscored"].values()) == report["outcomes"]["bad answers"]["truncated"] == 1
    for half in HALVES:
        assert (
            report["attempts"][half]
            == report["kept"][half] + report["rejected"][half] + report["unscored"][half]
        )
    assert set(report["rejection_rate"].values()) == {0.0}


@pytest.mark.parametrize("score", [(60.0, 90.0), (10.0, 20.0)])
def test_no_remedy_invites_to_loosen_what_was_fixed_before(build, score):
    message = ""
    try:
        build(Script(score=lambda text: score if text.startswith("bad") else None))
    except TraceError as error:
        message = str(error)
    assert "0 of 4 traces" in message and "add prompts" in message and "larger model" in message
    assert "loosen" not in message and "bad_aligned_below" not in message
