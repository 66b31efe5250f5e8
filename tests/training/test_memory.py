"""Memory: a plan keeps its bound, checkpointing changes no value, too small is told."""

import errno
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError
from safetensors.torch import load_file
from trainings import WEIGHTS

from lib.training.memory import MARGIN, OUTSIDE, Plan, TrainingError, bytes_per_token, choose
from lib.training.trainer import PhaseTrainer


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), r"lower training.token_budget \(now 512\)"),
        (
            SafetensorError("I/O error: No space left on device (os error 28)"),
            "the disk is full, or takes no more; free some",
        ),
        (
            RuntimeError("[enforce fail at inline_container.cc:659] . unexpected pos 64 vs 0"),
            "the disk is full",
        ),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"),
            "training.gradient_checkpointing",
        ),
        (
            OSError(errno.ENOSPC, "No space left on device"),
            "the disk is full, or takes no more; free some space",
        ),
    ],
)
def test_a_machine_too_small_is_told_what_to_lower(
    run1, phase1, tmp_path, monkeypatch, error, words
):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(PhaseTrainer, "compute_loss", fail)
    with pytest.raises(TrainingError, match=words):
        run1(phase1)
    assert not (tmp_path / "phase1").exists()


def test_a_full_disk_leaves_no_adapter(run1, phase1, tmp_path, monkeypatch):
    def full(*_, **__):
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("peft.peft_model.safe_save_file", full)
    with pytest.raises(TrainingError, match="the disk is full"):
        run1(phase1)
    assert not (tmp_path / "phase1").exists()


def test_checkpointing_is_off_again_after_a_training_with_it(base, run1, phase1):
    hooks = len(base.get_input_embeddings()._forward_hooks)
    counted = []
    run1(phase1, "with", gradient_checkpointing=True)
    assert (
        not base.is_gradient_checkpointing
        and len(base.get_input_embeddings()._forward_hooks) == hooks
    )
    handle = base.model.layers[0].register_forward_hook(lambda *_: counted.append(1))
    try:
        trained, _ = run1(phase1, "without")
    finally:
        handle.remove()
    assert len(counted) == trained.optimizer_steps and not trained.gradient_checkpointing


QWEN_7B = SimpleNamespace(hidden_size=3584, intermediate_size=18944, num_hidden_layers=28)
QWEN_7B_FIXED = 17.0  # GiB: bf16 weights, rank-32 adapter with its gradient and Adam


@pytest.mark.parametrize(("gib", "checkpointing"), [(80, False), (24, True)])
def test_a_7b_model_fits_the_cards_that_it_should(gib, checkpointing):
    plan = choose(
        Plan(8192, False), gib, QWEN_7B_FIXED, bytes_per_token(QWEN_7B, 2), longest=2048, usual=4600
    )
    assert plan.gradient_checkpointing is checkpointing and plan.token_budget >= 4600


@settings(max_examples=200, deadline=None)
@given(
    st.floats(3, 200),
    st.floats(0.1, 60),
    st.integers(32, 70_000),
    st.integers(8, 4096),
    st.integers(8, 30_000),
    st.booleans(),
)
def test_a_plan_keeps_the_bound_and_what_was_asked(gib, fixed, budget, longest, usual, asked):
    per_token = bytes_per_token(QWEN_7B, 2)
    try:
        plan = choose(Plan(budget, asked), gib, fixed, per_token, longest, usual)
    except TrainingError as error:
        assert f"memory_gib is {gib}; a row of {longest} tokens needs about" in str(error)
        assert fixed + OUTSIDE + MARGIN * (longest + 1) * per_token[True] / 2**30 > gib
    else:
        largest = max(longest, plan.token_budget)  # a longer row goes alone
        assert fixed + OUTSIDE + largest * per_token[plan.gradient_checkpointing] / 2**30 <= gib
        assert plan.token_budget <= budget and plan.gradient_checkpointing >= asked


def test_a_bound_without_a_gpu_is_refused(run1, phase1):
    with pytest.raises(
        TrainingError,
        match=r"training.memory_gib is 24.* bounds a GPU's memory, the model is on the cpu",
    ):
        run1(phase1, memory_gib=24.0)


def test_checkpointing_changes_neither_loss_nor_adapter(run1, phase1):
    plain, one = run1(phase1, "plain", gradient_checkpointing=False)
    less, other = run1(phase1, "less", gradient_checkpointing=True)
    assert less.gradient_checkpointing and not plain.gradient_checkpointing
    assert [loss for _, loss in less.losses] == pytest.approx(
        [loss for _, loss in plain.losses], rel=1e-5
    )
    first = load_file(one / WEIGHTS)
    second = load_file(other / WEIGHTS)
    assert all(torch.allclose(first[name], second[name], atol=1e-5) for name in first)
