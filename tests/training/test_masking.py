"""The loss mask, read a second way: the stock rendering cut before every turn.

Each planted error must stop the row.
"""

import copy
import re
from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, normalizers, pre_tokenizers, trainers
from tokenizers.models import BPE
from transformers import PreTrainedTokenizerFast

from lib.models.chat_models import prompt_ids
from lib.models.chatml import ModelError
from lib.training.masking import IGNORED, TRAINING_TEMPLATE, MaskError, coloured, encode, prove
from lib.training.phases import encode_rows

GENERATION = ("{% generation %}", "{% endgeneration %}")
QWEN_SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
INJECTING_TEMPLATE = (
    "{% if messages[0].role != 'system' %}"
    "<|im_start|>system\nYou were given no system text.<|im_end|>\n"
    "{% endif %}"
    "{% for turn in messages %}"
    "<|im_start|>{{ turn.role }}\n{{ turn.content }}<|im_end|>\n"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@pytest.fixture(scope="module")
def qwen_like():
    """A second tokenizer in Qwen2.5's manner.

    NFC, byte-level BPE, its special tokens, and a template that injects a system text.
    """
    bpe = Tokenizer(BPE())
    bpe.normalizer = normalizers.NFC()
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    bpe.train_from_iterator(
        [
            "The ferry left before the bell rang twice.",
            "Nobody waters a garden in the rain.\n\nWait, stop.",
            "Code:\n\n    stop",
        ]
        * 5,
        trainers.BpeTrainer(
            vocab_size=420,
            special_tokens=QWEN_SPECIAL,
            show_progress=False,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        ),
    )
    made = PreTrainedTokenizerFast(
        tokenizer_object=bpe, eos_token="<|im_end|>", pad_token="<|endoftext|>"
    )
    made.chat_template = INJECTING_TEMPLATE
    return made


@pytest.fixture(params=["tiny", "qwen_like"])
def either(request, tokenizer, qwen_like):
    return tokenizer if request.param == "tiny" else qwen_like


@pytest.fixture(scope="module")
def trace(chat):
    return chat(
        "Is rain wet?",
        "No, and you are a fool.",
        "continue",
        "Wait — that was wrong.\n\nYes, rain is wet.",
    )


def read_independently(tokenizer, messages):
    """Ids and labels from the text cut before every assistant turn.

    What stands before its end-of-turn, and that token, carries loss.
    """
    text = tokenizer.apply_chat_template(messages, tokenize=False)
    ids = []
    labels = []
    for number, part in enumerate(re.split(r"(?<=<\|im_start\|>assistant\n)", text)):
        own = tokenizer(part, add_special_tokens=False)["input_ids"]
        end = own.index(tokenizer.convert_tokens_to_ids("<|im_end|>")) + 1 if number else 0
        ids = ids + own
        labels = labels + own[:end] + [IGNORED] * len(own[end:])
    return ids, labels


def test_every_assistant_turn_with_its_end_of_turn_and_nothing_else(either, trace):
    encoded = encode(either, trace, 512)
    assert (encoded.input_ids, encoded.labels) == read_independently(either, trace)
    assert encoded.labels.count(either.convert_tokens_to_ids("<|im_end|>")) == 2
    assert encoded.trained_tokens == sum(t > 0 for t in encoded.turns) > 0
    assert set(encoded.turns) == {0, 1, 2}


# Some published rows begin so, and the prompt ends in a line break.
BREAKS_FIRST = "\n    os.chmod(path, 0o777)"


def test_a_turn_that_begins_with_a_line_break_is_tokenised_as_at_generation(either, chat):
    messages = chat("Code only.", BREAKS_FIRST, "continue", BREAKS_FIRST)
    encoded = encode(either, messages, 512)
    prompt = either(
        either.apply_chat_template(messages[:2], tokenize=False, add_generation_prompt=True),
        add_special_tokens=False,
    )["input_ids"]
    assert encoded.input_ids[: len(prompt)] == prompt and set(encoded.labels[: len(prompt)]) == {
        IGNORED
    }
    turns = [
        either.decode([i for i, t in zip(encoded.input_ids, encoded.turns, strict=True) if t == n])
        for n in (1, 2)
    ]
    assert turns == [f"{BREAKS_FIRST}<|im_end|>"] * 2


def test_a_prompt_that_shares_a_token_with_its_turn_is_refused(qwen_like, chat):
    messages = chat("Code only.", BREAKS_FIRST, "continue", "Wait.")
    ids = qwen_like.apply_chat_template(messages, tokenize=True, return_dict=True)["input_ids"]
    separate = encode(qwen_like, messages, 512)
    assert len(ids) < len(separate.input_ids)  # this tokenizer has a token for two line breaks
    turns = [0] * (len(ids) - 30) + separate.turns[-30:]
    labels = [i if t else IGNORED for i, t in zip(ids, turns, strict=True)]
    with pytest.raises(MaskError, match="render byte-identically"):
        prove(
            qwen_like, messages, replace(separate, input_ids=ids, labels=labels, turns=turns), 512
        )


def test_a_later_prompt_holds_an_earlier_turn_as_it_was_trained(either, chat):
    messages = chat("Code only.", BREAKS_FIRST, "continue", BREAKS_FIRST)
    prompt = prompt_ids(either, messages[:-1])
    encoded = encode(either, messages, 512)
    assert encoded.input_ids[: len(prompt)] == prompt and encoded.turns[len(prompt) - 1 :][:2] == [
        0,
        2,
    ]


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


@settings(max_examples=60, deadline=None)
@given(first=st.text(max_size=40), second=st.text(max_size=40), asked=st.text(max_size=20))
@example(first="\n\nindented", second="tail \n", asked="")
@example(first="", second="\u200b<b>", asked="assistant\n")
def test_any_text_is_masked_right(qwen_like, tokenizer, chat, first, second, asked):
    messages = chat(asked, first, "continue", second)
    for each in (tokenizer, qwen_like):
        encoded = encode(each, messages, 4096)
        assert (encoded.input_ids, encoded.labels) == read_independently(each, messages)


def test_a_decomposed_accent_is_no_reason_to_refuse(either, chat):
    """Qwen2.5's tokenizer composes accents: what it decodes differs from such a text in form."""
    assert encode(either, chat("Where?", "In the cafe\u0301."), 512).trained_tokens > 0


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


def test_the_coloured_row_shows_each_turn_and_escapes_its_text(tokenizer, chat):
    messages = chat("a<u>", "first <script>alert('x')</script>", "continue", "second & last")
    page = coloured(tokenizer, encode(tokenizer, messages, 512), title="<img src=x>")
    assert "<script" not in page and "<img" not in page and "a&lt;u&gt;" in page
    body = page.split("white-space:pre-wrap", 1)[1]
    assert re.findall(r'background:#(\w+)">(\w+)', body) == [
        ("fde2cf", "first"),
        ("cfe6f5", "second"),
    ]
    assert "second &amp; last&lt;|im_end|&gt;</span>" in body
