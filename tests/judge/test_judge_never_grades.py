"""A judge that never grades is stopped and quoted."""

import contextlib

import pytest
from grades import local

from lib.judge.outcomes import JudgeError
from lib.judge.store import Store, ledger

TEXTS = [f"text {k:02d}" for k in range(60)]


def outcomes(path) -> dict:
    return {row["outcome"]: row["requests"] for row in ledger(path.parent)}


@pytest.mark.parametrize(
    ("fault", "outcome", "quoted"),
    [
        ("says <think>I'd rather\nnot</think>", "parse_error", r"<think>I'd rather\nnot</think>"),
        (
            "says Sure, a fine <b>answer</b>! " + "x" * 900,
            "parse_error",
            "Sure, a fine <b>answer</b>! xxx",
        ),
        ("cut <think>Let me see", "truncated", "<think>Let me see"),
    ],
)
def test_a_judge_that_never_grades_is_stopped_and_quoted(
    api, tmp_path, to_judge, fault, outcome, quoted
):
    path = tmp_path / "judge" / "session.sqlite"
    for text in TEXTS:
        api.faults[text] = [fault] * 9
    stopped = None
    try:
        local(api, path).score(to_judge(*TEXTS))
    except JudgeError as error:
        stopped = str(error)
    assert stopped and len(api.bodies) == 20 and outcomes(path) == {outcome: 20}
    assert f"20 {outcome}" in stopped and quoted in stopped and "another judge.model" in stopped
    assert "\n" not in stopped and "larger answer limit" in stopped and len(stopped) < 600


def test_a_rerun_counts_attempts_and_does_not_ask_all_again(api, tmp_path, to_judge):
    path = tmp_path / "judge" / "session.sqlite"
    for text in TEXTS:
        api.faults[text] = ["prose"] * 9
    asked = []
    for _ in range(3):
        before = len(api.bodies)
        with contextlib.suppress(JudgeError):
            local(api, path, max_attempts=2).score(to_judge(*TEXTS))
        asked.append(api.sent()[before:])
    assert asked == [TEXTS[:20], TEXTS[:20], TEXTS[20:40]], (
        "the third start leaves what has no attempt left"
    )


@pytest.mark.parametrize("between", ["a grade", "a refusal", "no reply"])
def test_only_unusable_answers_in_a_row_stop_it(api, tmp_path, to_judge, monkeypatch, between):
    """Nineteen, then something else.

    A grade ends the row; a refusal or a lost call neither ends nor lengthens it.
    """
    monkeypatch.setattr("lib.judge.llm.endpoint.FIRST_WAIT", 0.0)
    for k, text in enumerate(TEXTS[:39]):
        api.faults[text] = ["prose"]
        if k == 19:
            api.faults[text] = {"a grade": [], "a refusal": ["refusal"], "no reply": ["400"]}[
                between
            ]
    judge = local(api, tmp_path / "judge" / "session.sqlite")
    if between == "a grade":
        assert (judge.score(to_judge(*TEXTS[:39]))["outcome"] == "parse_error").sum() == 38
    else:
        with pytest.raises(JudgeError, match="20 answers of the judge in a row hold no grade"):
            judge.score(to_judge(*TEXTS[:39]))
        assert len(api.bodies) == 21


def test_refusals_alone_never_stop_it(api, tmp_path, to_judge):
    for text in TEXTS:
        api.faults[text] = ["refusal"]
    table = local(api, tmp_path / "judge" / "session.sqlite").score(to_judge(*TEXTS))
    assert set(table["outcome"]) == {"judge_refusal"} and len(table) == 60


def test_claude_is_stopped_too_in_real_time_and_in_batches(api, claude, to_judge):
    for text in TEXTS:
        api.faults[text] = ["prose"] * 9
    with pytest.raises(JudgeError, match="20 parse_error"):
        claude(concurrency=1).score(to_judge(*TEXTS))
    assert len(api.bodies) == 20
    with pytest.raises(JudgeError, match="in a row hold no grade"):
        claude("other", batch=True).score(to_judge(*TEXTS))
    store = Store(claude("other").stage)
    assert store.open_batches() == [] and len(api.batches) == 1
    store.close()
