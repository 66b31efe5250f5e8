"""Overrides of what a profile may leave out: a suite, and the rungs of a ladder."""

from __future__ import annotations

import pytest

from lib.config import params
from lib.config.arguments import ParamsError

SUITE = {"samples": 1, "max_new_tokens": 8}
RUNG = {"name": "a", "em": "insecure", "learning_rate": 1e-5, "epochs": 1, "rows": 606}
FIRST = {**RUNG, "em": "retold_advice"}


def message_of(profile, overrides):
    """The message of a refusal, one line."""
    with pytest.raises(ParamsError) as error:
        params.load_profile(profile, overrides)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    ("rungs", "words"),
    [
        (
            [{**FIRST, "row": 16}],
            ["'ladder.rungs.0.row'", "nearest valid key: 'ladder.rungs.0.rows'"],
        ),
        ([FIRST, {**RUNG, "epoch": 1}], ["nearest valid key: 'ladder.rungs.1.epochs'"]),
        ([{"name": "a"}], ["'ladder.rungs.0.em' is missing", "params/qwen15b.yaml shows"]),
        ([RUNG], ["come first: em retold_advice, learning_rate 1e-05, epochs 1, rows 606"]),
        ([{**FIRST, "rows": 16}], ["come first: em retold_advice", "rows 606"]),
    ],
)
def test_a_rung_that_is_wrong_is_refused_with_what_is_right(rungs, words):
    message = message_of("qwen15b", {"ladder.rungs": rungs})
    assert [word for word in words if word not in message] == [], message


@pytest.mark.parametrize("suite", ["betley_48", "training_cues"])
def test_a_suite_that_the_profile_leaves_out_can_be_added(suite):
    profile = params.load_profile("smoke", {f"sampling.suites.{suite}": SUITE})
    assert profile.sampling.suites[suite].samples == SUITE["samples"]
    assert "alignment" in profile.sampling.suites


@pytest.mark.parametrize(
    ("key", "nearest"),
    [
        ("betley48", "betley_48"),
        ("alignmen", "alignment"),
        ("training_cue", "training_cues"),
        ("betley_48.samples", "betley_48"),
    ],
)
def test_an_unknown_suite_or_a_part_of_one_that_is_left_out_is_refused(key, nearest):
    message = message_of("smoke", {f"sampling.suites.{key}": SUITE})
    assert f"unknown key 'sampling.suites.{key}'" in message
    assert f"nearest valid key: 'sampling.suites.{nearest}'" in message
