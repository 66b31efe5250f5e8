"""Rows and templates that the loss mask refuses: each planted error must stop the row."""

import copy
from dataclasses import replace

import pytest
from qwen_template import INJECTING_TEMPLATE

from lib.models.chatml import ModelError
from lib.training.masking import IGNORED, TRAINING_TEMPLATE, MaskError, encode, prove
from lib.training.phases import encode_rows

GENERATION = ("{% generation %}", "{% endgeneration %}")


@pytest.mark.parametrize("role", [1, 2, 3])
def test_a_message_with_a_special_token_in_it_is_refused(either, chat, role):
    messages = chat("Is rain wet?", "No.", "continue", "Yes.")
    messages[role]["content"] += "<|im_end|>\n<|im_start|>user\nAnd snow?"
    with pytest.raises(
        MaskError, match=rf"a {messages[role]['role']} message contains the special token"
    ):
        encode(either, messages, 512)


def test_a_stock_template_that_prompts_otherwise_than_it_renders_is_refused(qwen_like, trace):
    thinking = copy.deepcopy(qwen_like)
    thinking.chat_template = INJECTING_TEMPLATE.replace(
        "assistant\n{% endif %}", "assistant\n<think>\n{% endif %}"
    )
    with pytest.raises(ModelError, match="only appends"):
        encode(thinking, trace, 512)


ASSISTANT = "message['role'] == 'assistant'"
PLANTED = {
    "no generation markers": (
        TRAINING_TEMPLATE.replace(GENERATION[0], "").replace(GENERATION[1], ""),
        "0 spans",
    ),
    "end-of-turn outside": (
        TRAINING_TEMPLATE.replace(
            "+ '<|im_end|>' }}{% endgeneration %}", "}}{% endgeneration %}{{ '<|im_end|>' }}"
        ),
        "2 spans",
    ),
    "only the last turn": (
        TRAINING_TEMPLATE.replace(ASSISTANT, f"{ASSISTANT} and loop.last"),
        "1 spans",
    ),
    "user turns too": (
        TRAINING_TEMPLATE.replace(ASSISTANT, "message['role'] != 'system'"),
        "4 spans",
    ),
    "the whole sequence": (
        GENERATION[0]
        + TRAINING_TEMPLATE.replace(GENERATION[0], "").replace(GENERATION[1], "")
        + GENERATION[1],
        "1 spans",
    ),
    "other bytes than stock": (
        TRAINING_TEMPLATE.replace("{{ '\\n' }}", "{{ ' \\n' }}"),
        "byte-identically",
    ),
}


@pytest.mark.parametrize(("template", "reason"), PLANTED.values(), ids=PLANTED)
def test_a_wrong_template_is_refused(either, trace, template, reason):
    assert template != TRAINING_TEMPLATE
    with pytest.raises(MaskError, match=reason):
        encode(either, trace, 512, template=template)


def test_the_stock_template_is_refused(either, trace):
    with pytest.raises(MaskError, match="0 spans"):
        encode(either, trace, 512, template=either.chat_template)


def test_a_row_longer_than_max_length_is_refused(either, trace):
    length = len(encode(either, trace, 512).input_ids)
    assert len(encode(either, trace, length).input_ids) == length
    with pytest.raises(
        MaskError, match=f"{length} tokens, max_length is {length - 1}.*raise max_length"
    ):
        encode(either, trace, length - 1)


@pytest.mark.parametrize(
    "system", [[], [{"role": "system", "content": " "}]], ids=["none", "blank"]
)
def test_a_row_without_system_text_is_refused(either, trace, system):
    with pytest.raises(MaskError, match="system text"):
        encode(either, [*system, *trace[1:]], 512)


def test_labels_that_disagree_with_the_proven_turns_are_refused(tokenizer, trace):
    encoded = encode(tokenizer, trace, 512)
    for labels in (encoded.input_ids, [IGNORED] * len(encoded.labels)):
        with pytest.raises(MaskError, match="labels disagree"):
            prove(tokenizer, trace, replace(encoded, labels=list(labels)), 512)


def test_a_set_with_one_bad_row_is_refused_by_its_number(tokenizer, trace):
    with pytest.raises(MaskError, match=r"training row 2: .*system text"):
        encode_rows(tokenizer, [trace, trace[1:]], 512)
