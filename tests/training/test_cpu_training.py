"""On a CPU a training reads each row by itself and scores only trained tokens; nothing changes."""

import itertools

import pytest
import torch
from peft import get_peft_model
from torch.nn.functional import cross_entropy

from lib.training.adapters import lora_config
from lib.training.attention import attention_by_rows
from lib.training.batches import end_to_end, rows_in, sequences_of
from lib.training.cpu_head import add_cpu_head
from lib.training.masking import IGNORED


@pytest.fixture
def batch(rows, phase1):
    """Three rows end to end."""
    return end_to_end([next(rows_in(sequence)) for sequence in sequences_of(rows[:3], phase1)])


@pytest.fixture
def headed(base):
    """The base with the head of a training on a CPU, and its own forward."""
    own = base.forward
    weight = base.get_input_embeddings().weight
    frozen = not weight.requires_grad  # by an earlier test of the same base
    weight.requires_grad_(True)
    add_cpu_head(base)
    yield base, own
    del base.forward
    weight.requires_grad_(not frozen)


def test_log_probabilities_and_gradients_are_those_of_all_logits(headed, batch):
    base, own = headed
    inputs = {name: batch[name] for name in ("input_ids", "position_ids")}
    targets = batch["labels"][:, 1:]
    trained = targets != IGNORED
    assert 0 < int(trained.sum()) < trained.numel()
    gradients = []
    weight = base.get_input_embeddings().weight
    log_probs = base(**inputs, labels=batch["labels"], fused_lm_head=True).log_probs
    logits = own(**inputs, use_cache=False).logits[0, :-1].double()
    expected = -cross_entropy(logits, targets[0], ignore_index=IGNORED, reduction="none")[None]
    assert torch.allclose(log_probs.double(), expected, atol=1e-5)
    assert (log_probs[~trained] == 0).all()
    for loss in (-log_probs.sum(), -expected.sum()):
        gradients.append(torch.autograd.grad(loss, weight)[0])
    assert torch.allclose(*gradients, atol=1e-4) and gradients[0].abs().max() > 0.1


def test_a_piece_without_a_trained_token_has_a_loss_of_zero_with_a_gradient(headed, batch):
    base, _ = headed
    inputs = {name: batch[name] for name in ("input_ids", "position_ids")}
    labels = torch.full_like(batch["labels"], IGNORED)
    loss = -base(**inputs, labels=labels).log_probs.sum()
    (gradient,) = torch.autograd.grad(loss, base.get_input_embeddings().weight)
    assert loss.item() == 0 and not gradient.any()


def test_a_row_has_the_logits_it_has_alone_and_sees_no_other(base, batch, phase1):
    model = get_peft_model(base, lora_config(phase1))
    ends = batch["row_ends"].tolist()
    named = ("position_ids", "row_ends", "longest")
    places = {name: batch[name] for name in named}
    changed = batch["input_ids"].clone()
    changed[0, : ends[1]] = changed[0, : ends[1]].flip(0)

    def logits(ids):
        return model(input_ids=ids, use_cache=False, **places).logits[0]

    try:
        with torch.inference_mode():
            alone = [
                model(input_ids=batch["input_ids"][:, start:end]).logits[0]
                for start, end in itertools.pairwise(ends)
            ]
            with attention_by_rows(model):
                assert model.config._attn_implementation == "by_rows"
                together = logits(batch["input_ids"])
                others = logits(changed)
    finally:
        model.unload()
    assert torch.allclose(together, torch.cat(alone), atol=1e-4)
    assert torch.equal(others[ends[1] :], together[ends[1] :])
    assert not torch.allclose(others[: ends[1]], together[: ends[1]], atol=1e-2)
    assert base.config._attn_implementation != "by_rows"
