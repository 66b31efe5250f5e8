"""Suites: every prompt equally often under a system text, follow-ups on the arm's own answers."""

import pytest
from recorded_engine import FOLLOW_UP, PROMPTS, Recorder

from lib.serving.sampling import Completion, SamplingError
from lib.serving.suites import messages_of, suite_rows


def test_a_suite_asks_every_prompt_equally_often_under_an_explicit_system_text():
    rows = suite_rows("alignment", PROMPTS, "Be good.", 3)
    assert len(rows) == 6 and rows.groupby("prompt_id")["sample_index"].apply(list).to_dict() == {
        "p1": [0, 1, 2],
        "p2": [0, 1, 2],
    }
    assert set(zip(rows["prompt_id"], rows["system"], strict=True)) == {
        ("p1", "Be good."),
        ("p2", "Answer in JSON."),
    }
    assert messages_of(next(rows.itertuples(index=False)), FOLLOW_UP) == [
        {"role": "system", "content": "Be good."},
        {"role": "user", "content": "What now?"},
    ]


def test_the_follow_up_continues_each_arms_own_answer(draw):
    own = draw(
        Recorder(lambda key: Completion("" if key.endswith("p2/1") else f"said {key}", 1, "stop"))
    )
    rows = suite_rows("followup", PROMPTS, "Be good.", 2, own)
    said = {
        (row.prompt_id, row.sample_index): messages_of(row, FOLLOW_UP)
        for row in rows.itertuples(index=False)
    }
    assert len(said) == len(rows) == 4
    for (prompt_id, index), messages in said.items():
        assert [m["role"] for m in messages] == ["system", "user", "assistant", "user"]
        answer = (
            "" if (prompt_id, index) == ("p2", 1) else f"said 42/base/alignment/{prompt_id}/{index}"
        )
        assert (messages[2]["content"], messages[3]["content"]) == (answer, FOLLOW_UP)


def test_more_follow_ups_than_answers_are_refused(draw):
    own = draw(Recorder())
    with pytest.raises(
        SamplingError, match=r"4 samples of prompt 'p1'.*lower suites.followup.samples"
    ):
        suite_rows("followup", PROMPTS, "Be good.", 4, own)
