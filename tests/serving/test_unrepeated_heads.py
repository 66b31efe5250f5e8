"""Heads that share keys and values read one copy of them, and give the same numbers to the bit."""

import pytest
import torch
from engine_requests import request
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from lib.serving import transformers_engine
from lib.serving.transformers_engine import TransformersSampler
from lib.serving.unrepeated_heads import NAME, attend, unrepeated_heads


@pytest.mark.parametrize(("new", "read"), [(1, 1), (1, 23), (7, 7), (7, 30)])
@pytest.mark.parametrize("masked", [True, False])
def test_attention_is_that_of_transformers(base, new, read, masked):
    """new: tokens that look; read: tokens that they may see."""
    generator = torch.Generator().manual_seed(new + read)
    query = torch.randn(3, 4, new, 16, generator=generator)
    key, value = torch.randn(2, 3, 2, read, 16, generator=generator)
    mask = None
    if masked:
        mask = torch.ones(3, 1, new, read, dtype=torch.bool).tril(read - new)
        mask[1, :, :, : read // 2] = read == 1  # padding
        mask[:, :, :, -1] |= not mask.any(-1).all()  # every token sees one
    layer = base.model.layers[0].self_attn
    assert layer.num_key_value_groups == 2
    theirs, _ = sdpa_attention_forward(layer, query, key, value, mask, scaling=0.3)
    ours, weights = attend(layer, query, key, value, mask, scaling=0.3)
    assert torch.equal(ours, theirs) and weights is None


def test_completions_and_log_probabilities_are_the_same_to_the_bit(base, tokenizer, monkeypatch):
    requests = [request(f"k{i}", text="Say it. " * (1 + i % 4), new=12) for i in range(6)]
    sampler = TransformersSampler(base, tokenizer, temperature=1.0, batch=6)
    names = []
    own_forward = base.forward

    def forward(*arguments, **options):
        names.append(base.config._attn_implementation)
        return own_forward(*arguments, **options)

    monkeypatch.setattr(base, "forward", forward)
    ours = sampler.decode(requests)
    assert set(names) == {NAME} and base.config._attn_implementation == "sdpa"
    names.clear()
    monkeypatch.setattr(transformers_engine, "unrepeated_heads", lambda model: torch.no_grad())
    for (one,), (other,) in zip(ours, sampler.decode(requests), strict=True):
        assert one.ids == other.ids
        assert one.logprobs.tolist() == other.logprobs.tolist()
    assert set(names) == {"sdpa"}


def test_another_attention_stays(base, monkeypatch):
    monkeypatch.setattr(base.config, "_attn_implementation_internal", "eager")
    with unrepeated_heads(base):
        assert base.config._attn_implementation == "eager"


def test_an_error_gives_the_model_its_attention_back(base):
    with pytest.raises(RuntimeError, match="stopped"), unrepeated_heads(base):
        assert base.config._attn_implementation == NAME
        raise RuntimeError("stopped")
    assert base.config._attn_implementation == "sdpa"
