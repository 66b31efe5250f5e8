"""The loss mask, read a second way: the stock rendering cut before every turn."""

import re
from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lib.models.chat_models import prompt_ids
from lib.training.masking import IGNORED, MaskError, coloured, encode, prove


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


def test_the_coloured_row_shows_each_turn_and_escapes_its_text(tokenizer, chat):
    messages = chat("a<u>", "first <script>alert('x')</script>", "continue", "second & last")
    page = coloured(tokenizer, encode(tokenizer, messages, 512), title="<img src=x>")
    assert "<script" not in page and "<img" not in page and "a&lt;u&gt;" in page
    body = page.split("white-space:pre-wrap", 1)[1]
    assert re.findall(r'background:var\(--(turn-\d)[^"]*">(\w+)', body) == [
        ("turn-1", "first"),
        ("turn-2", "second"),
    ]
    assert "second &amp; last&lt;|im_end|&gt;</span>" in body
