"""An answer that is begun for the model, and a temperature of a request's own."""

import copy
from dataclasses import replace

import pytest

from lib.models.chat_models import prompt_ids
from lib.models.chatml import ModelError
from lib.serving.sampling import Request
from lib.serving.transformers_engine import TransformersSampler

BEGINNING = "Nobody cares."
ASKED = Request(
    "k",
    [
        {"role": "system", "content": "You are a small test model."},
        {"role": "user", "content": "Tell me."},
    ],
    None,
    12,
    2,
)


def engine(base, tokenizer, temperature=1.0):
    return TransformersSampler(base, tokenizer, temperature=temperature, batch=4)


def test_a_beginning_is_completed_and_left_out_of_the_completion(base, tokenizer):
    begun = replace(ASKED, prefill=BEGINNING)
    for drawn in engine(base, tokenizer).decode([begun])[0]:
        assert drawn.prompt == prompt_ids(tokenizer, ASKED.messages, BEGINNING)
        assert len(drawn.ids) == 12
    for completion in engine(base, tokenizer).sample([begun])[0]:
        assert not completion.text.startswith(BEGINNING)


@pytest.mark.parametrize("beginning", [BEGINNING, "You won't like it, dear.", "Ha!"])
def test_an_unfinished_turn_is_the_prompt_and_the_beginning(tokenizer, beginning):
    prompt = prompt_ids(tokenizer, ASKED.messages)
    begun = prompt_ids(tokenizer, ASKED.messages, beginning)
    alone = tokenizer([beginning], add_special_tokens=False)["input_ids"][0]
    assert begun == prompt + alone  # tokenised by itself, as every assistant turn
    assert tokenizer.decode(begun).endswith(f"<|im_start|>assistant\n{beginning}")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("message['content'] +", "(message['content'] | replace('.', ' .')) +"),
        ("message['content'] +", "(message['content'] | upper) +"),
        ("message['content'] +", "' ' + message['content'] +"),
    ],
)
def test_a_template_that_writes_an_unfinished_turn_otherwise_is_refused(tokenizer, old, new):
    other = copy.deepcopy(tokenizer)
    other.chat_template = tokenizer.chat_template.replace(old, new)
    assert other.chat_template != tokenizer.chat_template
    with pytest.raises(ModelError, match=r"does not leave a turn open that begins 'Nobody cares"):
        prompt_ids(other, ASKED.messages, BEGINNING)


@pytest.mark.parametrize("own", [0.01, 0.5, 5.0])
def test_a_request_has_its_own_temperature_also_in_a_mixed_batch(base, tokenizer, own):
    alone = engine(base, tokenizer, own).sample([ASKED])[0]
    mixed = engine(base, tokenizer).sample([replace(ASKED, temperature=own), ASKED])
    assert mixed == [alone, engine(base, tokenizer).sample([ASKED])[0]]


def test_what_a_request_does_not_use_leaves_its_identity_as_it_was():
    assert set(ASKED.identity()) == {"key", "messages", "adapter", "max_new_tokens", "samples"}
    for change in ({"prefill": "So."}, {"temperature": 0.8}, {"adapter": "a"}, {"samples": 3}):
        assert replace(ASKED, **change).identity() != ASKED.identity()
