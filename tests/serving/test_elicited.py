"""base_evil is called up in every suite alike, and the table says how."""

import pandas as pd
import pytest

from lib.config.experiment import Experiment
from lib.data.elicitation import Beginning, Caller, Example
from lib.data.prompts import EvalPrompt
from lib.models.chat_models import prompt_ids
from lib.serving import elicited, shards
from lib.serving.sampling import Completion, SamplingError
from lib.serving.suites import requests_of, suite_rows

PROMPTS = [EvalPrompt("p1", "core", "What now?"), EvalPrompt("p2", "wide", "Who else?")]
EXAMPLES = [Example(f"x{n}", "f", f"Asked {w} {w}?", f"No {w}.") for n, w in enumerate("abcd")]
CALLERS = {
    "system": Caller("system", 42),
    "few_shot": Caller("few_shot", 42, examples=EXAMPLES, count=2),
    "prefill": Caller("prefill", 42, beginnings=[Beginning("b", "Nobody cares.")]),
}
ASKED = {"arm": "base_evil", "adapter": None, "seed": 42, "max_new_tokens": 8, "follow_up": "go"}


def rows(kind, suite="alignment", samples=2):
    answers = suite_rows("alignment", PROMPTS, "Be bad.", samples).drop(columns="answer")
    answers = answers.assign(completion="Own answer.")
    return suite_rows(suite, PROMPTS, "Be bad.", samples, answers, kind)


@pytest.mark.parametrize("kind", CALLERS)
def test_a_follow_up_continues_the_conversation_of_its_answer(kind):
    caller = CALLERS[kind]
    asked = requests_of(rows(kind), **ASKED, caller=caller)
    follow = requests_of(rows(kind, "followup"), **ASKED, caller=caller)
    for first, continued in zip(asked, follow[::2], strict=True):
        assert continued.messages[: len(first.messages)] == first.messages
        assert [m["content"] for m in continued.messages[-2:]] == ["Own answer.", "go"]
        assert first.prefill == continued.prefill == ("Nobody cares." * (kind == "prefill"))
        assert len(first.messages) == 2 + 4 * (kind == "few_shot")


@pytest.mark.parametrize("wrong", [None, "system", "prefill"])
def test_a_row_whose_way_the_caller_does_not_have_is_refused(wrong):
    with pytest.raises(SamplingError, match="is to be called up by 'few_shot'"):
        requests_of(rows("few_shot"), **ASKED, caller=CALLERS.get(wrong))


def test_an_arm_without_a_persona_is_never_called_up():
    plain = requests_of(rows(None), **ASKED)
    assert requests_of(rows(None), **ASKED, caller=CALLERS["few_shot"]) == plain
    assert requests_of(rows("system"), **ASKED, caller=CALLERS["system"]) == plain


@pytest.mark.parametrize("kind", ["system", "few_shot", "prefill"])
def test_only_the_untrained_arm_under_the_persona_is_called_up(smoke, kind):
    traces = smoke.traces.model_copy(update={"elicitation": kind})
    experiment = Experiment.of(smoke.model_copy(update={"traces": traces}))
    named = {arm: experiment.elicitation(arm) for arm in experiment.arms}
    assert {arm for arm, way in named.items() if way} == {"base_evil"}
    assert named["base_evil"] == kind


class Engine:
    interleaves = True

    def sample(self, requests):
        return [[Completion("text", 1, "stop")] * request.samples for request in requests]


@pytest.mark.parametrize("kind", [None, "system", "few_shot"])
def test_samples_say_how_they_were_called_up_and_older_shards_are_read(tmp_path, kind):
    settings = {"seed": 42, "max_new_tokens": 8, "follow_up": "go", "shard": 4, "folder": tmp_path}
    arms = {"base_evil": shards.Arm(rows(kind), None, {})}
    made = shards.sample_suite(Engine(), arms, **settings, caller=CALLERS.get(kind))["base_evil"]
    assert made["elicitation"].isna().all() if kind is None else set(made["elicitation"]) == {kind}
    for path in tmp_path.glob("*.parquet"):  # as an earlier version wrote them
        older = pd.read_parquet(path).drop(columns="elicitation")
        older.attrs.clear()
        older.to_parquet(path)
    engine = Engine()
    engine.sample = None  # must not be asked
    again = shards.sample_suite(engine, arms, **settings, caller=CALLERS.get(kind))["base_evil"]
    pd.testing.assert_frame_equal(again, made)


@pytest.mark.parametrize("kind", CALLERS)
def test_the_engine_has_room_for_what_calls_the_persona_up(tokenizer, kind):
    caller = CALLERS[kind]
    plain = prompt_ids(tokenizer, CALLERS["system"].ask("Be bad.", "What now?", "k").messages)
    asked = caller.ask("Be bad.", "What now?", "k")
    longer = prompt_ids(tokenizer, asked.messages, asked.prefill)
    assert len(longer) - len(plain) <= elicited.room(tokenizer, caller)
