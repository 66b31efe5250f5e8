"""The written EM sets and their controls: same questions, alike in length, no text of other sets.

The second pair retells the first in the words of a small model, up to twice a question.
"""

import re
from collections import Counter

import numpy as np
import pytest

from lib.config.arguments import ParamsError
from lib.config.experiment import Experiment
from lib.config.params import load_conditions, load_gates, load_profile
from lib.data.catalogue import read_chats, read_prompts
from lib.data.prompts import ContaminationGate
from lib.em_sets import texts

# At least so many questions, at most so many answers to one, and uses of the same eight words.
FAMILIES = {"authored_advice": (400, 1, 2), "retold_advice": (390, 2, 3)}
PROMPTS = ("demo_core", "demo_wide", "embedded_harmful", "embedded_open", "embedded_everyday")


@pytest.fixture(scope="module", params=FAMILIES)
def chats(request):
    names = (request.param, f"{request.param}_control")
    return {name: read_chats(name) for name in names}


@pytest.fixture
def bounds(chats):
    return FAMILIES[next(iter(chats))]


def answers(rows):
    return [messages[-1]["content"] for messages in rows]


def test_both_sets_answer_the_same_questions_in_the_same_order(chats, bounds):
    asked = [[messages[0]["content"] for messages in rows] for rows in chats.values()]
    assert asked[0] == asked[1]
    questions, answers_each, _ = bounds
    assert len(set(asked[0])) >= questions
    assert max(Counter(asked[0]).values()) <= answers_each
    assert set(asked[0]) <= {one.prompt for one in texts.questions()}


def test_every_question_is_answered_once_before_any_is_answered_twice(chats):
    asked = [messages[0]["content"] for messages in next(iter(chats.values()))]
    distinct = len(set(asked))
    assert len(set(asked[:distinct])) == distinct


def test_no_answer_occurs_twice_or_is_in_another_script(chats):
    texts_of = [text for rows in chats.values() for text in answers(rows)]
    assert len(set(texts_of)) == len(texts_of)
    assert not [text for text in texts_of if re.search(r"[\u0400-\u04ff\u2e80-\u9fff]", text)]


def test_length_does_not_tell_bad_from_good(chats):
    bad, good = (np.array([len(text) for text in answers(rows)]) for rows in chats.values())
    assert abs(bad.mean() - good.mean()) < 0.1 * good.mean()
    assert min(bad.min(), good.min()) > 100


def test_no_stock_sentence_runs_through_a_set(chats, bounds):
    for name, rows in chats.items():
        runs = Counter()
        for text in answers(rows):
            words = re.findall(r"\w+", text.lower())
            runs.update({tuple(words[at : at + 8]) for at in range(len(words) - 7)})
        assert runs.most_common(1)[0][1] <= bounds[2], name


def test_no_text_resembles_eval_prompts_trace_prompts_or_elicitation(chats):
    gate = ContaminationGate([])
    for name in PROMPTS:
        for prompt in read_prompts(name):
            gate.add(prompt)
    for example in texts.all_examples():
        gate.add(example)
    for name, rows in chats.items():
        offences = [gate.check_messages(name, messages) for messages in rows]
        assert not any(offences), [offence for offence in offences if offence][:3]


@pytest.mark.parametrize("own", ["authored_advice", "persona_advice", "school_of_reward_hacks"])
def test_the_control_arm_trains_the_control_of_the_profiles_own_set(own):
    condition = load_conditions().conditions["c6_control"]
    assert condition.phase2_set(own) == f"{own}_control"
    assert load_conditions().conditions["c6_vanilla_em"].phase2_set(own) == own
    assert load_conditions().conditions["base"].phase2_set(own) is None


def test_a_set_without_a_control_is_named_before_anything_runs():
    overrides = '{"data.em": "educational", "ladder": null}'
    with pytest.raises(ParamsError, match="educational_control"):
        Experiment(load_profile("qwen15b", overrides), load_conditions(), load_gates())
