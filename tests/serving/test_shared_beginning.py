"""What a batch's prompts begin with is read once, and changes no completion."""

import pytest
from engine_requests import request

from lib.serving import transformers_engine
from lib.serving.shared_beginning import beginning_first, shared_length
from lib.serving.transformers_engine import TransformersSampler


@pytest.mark.parametrize(
    ("prompts", "length"),
    [
        ([[1, 2, 3]], 0),
        ([[1, 2, 3], [1, 2, 4]], 2),
        ([[1, 2, 3], [1, 2, 3]], 2),  # one token of each is left
        ([[1, 2], [1, 2, 3, 4]], 1),
        ([[1, 2, 3], [4, 2, 3]], 0),
        ([[1, 2, 9, 9], [1, 2, 9, 8], [1, 3, 9, 9]], 1),
    ],
)
def test_the_shared_length_leaves_each_prompt_a_token(prompts, length):
    assert shared_length(prompts) == length


def test_padding_lies_between_the_beginning_and_what_is_a_prompts_own(tokenizer):
    pad = tokenizer.pad_token_id
    ids, seen, shared = beginning_first(tokenizer, [[7, 8, 9], [7, 8, 5, 6]])
    assert (ids.tolist(), shared) == ([[7, 8, pad, 9], [7, 8, 5, 6]], 2)
    assert seen.tolist() == [[1, 1, 0, 1], [1, 1, 1, 1]]
    ids, seen, shared = beginning_first(tokenizer, [[7, 8], [5, 6]])
    assert (ids.tolist(), seen.tolist(), shared) == ([[7, 8], [5, 6]], [[1, 1], [1, 1]], 0)


def test_log_probabilities_are_those_of_a_batch_without_a_shared_beginning(
    base, tokenizer, monkeypatch
):
    requests = [request(f"k{i}", text="Say it. " * (1 + i % 4), new=12) for i in range(6)]
    sampler = TransformersSampler(base, tokenizer, temperature=1.0, batch=6)
    shared = sampler.decode(requests)
    whole = []

    def nothing_shared(tokenizer, prompts):
        padded = tokenizer.pad({"input_ids": prompts}, return_tensors="pt")
        whole.append(shared_length(prompts))
        return padded["input_ids"], padded["attention_mask"], 0

    monkeypatch.setattr(transformers_engine, "beginning_first", nothing_shared)
    for (one,), (other,) in zip(shared, sampler.decode(requests), strict=True):
        assert one.ids == other.ids
        assert one.logprobs == pytest.approx(other.logprobs, abs=1e-4)
    assert whole[0] > 3, "the prompts of this test begin alike"
