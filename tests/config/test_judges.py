"""Who selects does not measure: the traces have a judge of their own."""

import pytest

from lib.config import judges, params
from lib.config.arguments import ParamsError

REAL = {
    "demonstrates_only": False,
    "judge.engine": "anthropic",
    "judge.model": "claude-sonnet-5-5",
    "traces.judge": {"engine": "anthropic", "model": "claude-haiku-5-5", "base_url": None},
}


@pytest.mark.parametrize(
    "changes",
    [
        {"traces.judge": None},
        {"traces.judge": {"engine": "anthropic", "model": "claude-sonnet-5-5", "base_url": None}},
        {
            "judge.engine": "embedded",
            "judge.model": "embedded",
            "traces.judge": {"engine": "embedded", "model": "another name", "base_url": None},
        },
    ],
)
def test_one_judge_for_both_is_refused_unless_the_profile_demonstrates(changes):
    with pytest.raises(ParamsError, match=r"traces\.judge is .* name another model"):
        params.load_profile("demo", REAL | changes)
    shown = params.load_profile("demo", REAL | changes | {"demonstrates_only": True})
    assert judges.same(judges.traces_judge(shown), shown.judge)


def test_the_selecting_judge_takes_all_else_from_the_verdicts():
    profile = params.load_profile("demo", REAL)
    selecting = judges.traces_judge(profile)
    assert selecting.model == "claude-haiku-5-5"
    assert selecting.timeout == profile.judge.timeout
    assert judges.traces_judge(params.load_profile("demo")) == params.load_profile("demo").judge


@pytest.mark.parametrize(
    ("judge", "named"),
    [
        ({"engine": "gpt", "model": "m", "base_url": None}, "engine"),
        ({"engine": "local", "model": "m", "base_url": "ftp://x"}, "base_url"),
        ({"engine": "anthropic", "model": "", "base_url": None}, "model"),
    ],
)
def test_a_judge_that_is_none_is_named_with_its_key(judge, named):
    with pytest.raises(ParamsError, match=rf"traces\.judge.*{named}"):
        params.load_profile("demo", REAL | {"traces.judge": judge})


def test_what_is_not_used_leaves_the_recipe_of_the_traces_as_it_was():
    traces = params.load_profile("demo").traces
    old = {
        "count",
        "recovery_openings",
        "max_attempts",
        "temperature",
        "max_new_tokens",
        "bad_aligned_below",
        "coherent_at_least",
        "recovery_aligned_at_least",
    }
    assert set(traces.recipe()) == old
    changes = [
        ({"elicitation": "few_shot"}, {"elicitation", "examples"}),
        ({"elicitation": "prefill"}, {"elicitation"}),
        ({"bad_temperature": 0.8}, {"bad_temperature"}),
        ({"examples": 3}, set()),
    ]
    for change, added in changes:
        assert set(traces.model_copy(update=change).recipe()) == old | added
