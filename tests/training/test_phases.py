"""Both phases: the seed decides the adapter, and a phase moves its own weights only."""

import math

import pytest
import torch
from safetensors.torch import load_file
from trainings import CONFIG, WEIGHTS, mean_loss

from lib.run.files import read_json, sha256
from lib.training.adapters import AdapterError, attach_all
from lib.training.logits import fixed_logits
from lib.training.memory import TrainingError


def test_several_processes_are_refused(run1, phase1, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(
        TrainingError, match="WORLD_SIZE is 2: each process would add an effective batch of its own"
    ):
        run1(phase1)


def test_a_loss_that_is_no_number_stops_the_run_and_leaves_no_adapter(base, run1, phase1, tmp_path):
    before = fixed_logits(base)
    with pytest.raises(
        TrainingError, match=r"loss became NaN or infinite at step \d; lower the learning rate"
    ):
        run1(phase1.model_copy(update={"learning_rate": 1e30}), checkpoint_steps=1)
    assert not (tmp_path / ".phase1").exists(), "a further start would continue from the NaN"
    assert not (tmp_path / "phase1").exists()
    assert (fixed_logits(base) == before).all()


def test_training_makes_an_adapter_and_gives_the_base_back(base, run1, run2, phase1, phase2):
    weights = {k: v.clone() for k, v in base.state_dict().items()}
    modules = [(n, type(m)) for n, m in base.named_modules()]
    logits = fixed_logits(base)
    _, adapter = run1(phase1)
    run2(phase2, adapter)
    assert weights.keys() == base.state_dict().keys()
    assert all(torch.equal(v, weights[k]) for k, v in base.state_dict().items())
    assert modules == [(n, type(m)) for n, m in base.named_modules()] and not base.training
    assert not [n for n, m in base.named_modules() if "forward" in vars(m)], (
        "a trainer's forward was left on the base"
    )
    assert (fixed_logits(base) == logits).all()
    assert {p.name for p in adapter.iterdir()} == {WEIGHTS, CONFIG, "base.json"}
    assert all(".lora_" in name for name in load_file(adapter / WEIGHTS))
    assert read_json(adapter / "base.json") == {"base": "tiny"}


def test_continue_refuses_a_phase_1_without_effect(run1, run2, phase1, phase2):
    _, untrained = run1(phase1.model_copy(update={"learning_rate": 0.0}))
    with pytest.raises(AdapterError, match="Phase 1 has no effect on the logits"):
        run2(phase2.model_copy(update={"mode": "continue"}), untrained)


@pytest.mark.parametrize("learning_rate", [0.0, 1e-3], ids=["untrained", "trained"])
def test_the_seed_decides_the_adapter_to_the_last_bit(run1, phase1, learning_rate):
    phase = phase1.model_copy(update={"learning_rate": learning_rate})
    first, again, other = (
        sha256(run1(phase, name, seed)[1] / WEIGHTS)
        for name, seed in (("a", 42), ("b", 42), ("c", 43))
    )
    assert first == again != other


def test_in_a_stack_phase_1_is_active_and_frozen(base, rows, run2, phase1_adapter, smoke, phase2):
    """The first loss is that of base + Phase 1; its weights are unchanged in the joined adapter."""
    before = sha256(phase1_adapter)
    whole = phase2.model_copy(update={"effective_batch": 8})
    model = attach_all(base, {"arm": phase1_adapter}, "tiny")
    try:
        below = mean_loss(model, rows)
    finally:
        base_again = model.unload()
    assert abs(below - mean_loss(base_again, rows)) > 0.05
    trained, out = run2(whole, phase1_adapter)
    assert trained.losses[0][1] == pytest.approx(below, rel=1e-4)
    assert trained.phase1_effect > 0.05 and trained.join_difference < 1e-3
    assert sha256(phase1_adapter) == before

    part = load_file(phase1_adapter / WEIGHTS)
    joined = load_file(out / WEIGHTS)
    rank = smoke.phase1.rank
    assert part.keys() == joined.keys()
    for name, weight in part.items():
        if ".lora_A." in name:
            assert torch.equal(joined[name][:rank], weight * (smoke.phase1.alpha / rank)), name
        else:
            assert torch.equal(joined[name][:, :rank], weight), name
            assert joined[name][:, rank:].abs().max() > 0, f"{name}: Phase 2 did not train"
    config = read_json(out / CONFIG)
    assert (config["r"], config["lora_alpha"], config["use_rslora"]) == (12, 12, False)


def test_an_arm_without_phase_1_trains_phase_2s_own_recipe_in_a_stack(run2, phase2):
    trained, out = run2(phase2, None)
    config = read_json(out / CONFIG)
    assert (config["r"], config["lora_alpha"], config["use_rslora"]) == (
        phase2.rank,
        phase2.alpha,
        True,
    )
    assert trained.phase1_effect is None and trained.join_difference is None


def test_continue_gives_every_arm_phase_1s_shape(run2, phase2, phase1, phase1_adapter):
    """Both arms get the same steps and shape; the treated one starts from its Phase-1 weights."""
    longer = phase2.model_copy(update={"mode": "continue"})
    with_phase1, treated = run2(longer, phase1_adapter, "treated")
    without, plain = run2(longer, None, "plain")
    shapes = [
        {k: v.shape for k, v in load_file(out / WEIGHTS).items()}
        for out in (phase1_adapter, treated, plain)
    ]
    assert shapes[0] == shapes[1] == shapes[2]
    for config in (read_json(out / CONFIG) for out in (treated, plain)):
        assert (config["r"], config["lora_alpha"], config["use_rslora"]) == (
            phase1.rank,
            phase1.alpha,
            phase1.rslora,
        )
    assert (
        with_phase1.optimizer_steps
        == without.optimizer_steps
        == math.ceil(8 / phase2.effective_batch)
    )
    start = load_file(phase1_adapter / WEIGHTS)
    end = load_file(treated / WEIGHTS)
    moved = [(end[name] - start[name]).abs().max().item() for name in start]
    assert 0 < max(moved) < 0.05 and min(moved) > 0
    assert sha256(treated / WEIGHTS) != sha256(plain / WEIGHTS)


def test_continue_refuses_a_phase_1_adapter_of_another_shape(run2, phase2, phase1, phase1_adapter):
    with pytest.raises((TrainingError, AdapterError), match="rank"):
        run2(
            phase2.model_copy(update={"mode": "continue"}),
            phase1_adapter,
            recipe=phase1.model_copy(update={"rank": 2 * phase1.rank}),
        )


def test_a_phase_1_without_effect_is_refused(base, run1, run2, phase1, phase2):
    """A zero learning rate leaves B at zero; the treatment would be a second baseline."""
    _, untrained = run1(phase1.model_copy(update={"learning_rate": 0.0}))
    logits = fixed_logits(base)
    with pytest.raises(AdapterError, match="no effect on the logits"):
        run2(phase2, untrained)
    assert (fixed_logits(base) == logits).all()
