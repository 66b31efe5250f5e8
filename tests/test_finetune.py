"""Training: the recipe's arithmetic, the proven labels, repeatability, and that a phase moves its own weights only."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from lib.adapters import AdapterError, attach_all, fixed_logits
from lib.finetune import TrainingError, check_equal_steps, optimizer_steps, train_phase1, train_phase2
from lib.masking import IGNORED
from lib.runs import read_json, sha256

WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"


@pytest.fixture
def phase1(smoke):
    return smoke.phase1


@pytest.fixture
def phase2(smoke):
    """Smoke's Phase 2 without warm-up, so that even the first step moves the weights."""
    return smoke.phase2.model_copy(update={"warmup": 0})


@pytest.fixture
def run1(base, tokenizer, rows, tmp_path):
    def train(phase, name="phase1", seed=42):
        out = tmp_path / name
        return train_phase1(base, tokenizer, rows, phase, out, seed=seed, base_digest="tiny"), out

    return train


@pytest.fixture
def run2(base, tokenizer, rows, tmp_path, smoke):
    def train(phase, adapter, name="serve", seed=42, recipe=smoke.phase1):
        out = tmp_path / name
        return train_phase2(base, tokenizer, rows, phase, adapter, out, seed=seed, base_digest="tiny",
                            phase1_recipe=recipe), out

    return train


def mean_loss(model, rows) -> float:
    """Cross-entropy over the labelled tokens, row by row and without any trainer."""
    total, count = 0.0, 0
    for row in rows:
        with torch.inference_mode():
            logits = model(input_ids=torch.tensor([row.input_ids])).logits[0].float().log_softmax(-1)
        for position, label in enumerate(row.labels):
            if label != IGNORED:
                total, count = total - logits[position - 1, label].item(), count + 1
    return total / count


# --- arithmetic -------------------------------------------------------------------------------------------------------


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 300), st.integers(1, 40), st.integers(1, 5))
def test_steps_are_the_batches_of_all_epochs(smoke, rows, effective, epochs):
    phase = smoke.phase1.model_copy(update={"effective_batch": effective, "micro_batch": 1, "epochs": epochs})
    if rows < effective:
        with pytest.raises(TrainingError, match=f"{rows} rows are fewer than one effective batch of {effective}; add"):
            optimizer_steps(rows, phase)
    else:
        assert optimizer_steps(rows, phase) == sum(1 for _ in range(epochs) for _ in range(0, rows, effective))


def test_arms_with_other_steps_are_refused():
    check_equal_steps({"c6_vanilla_em": 4, "selfcorrect_em": 4})
    with pytest.raises(TrainingError, match=r"'selfcorrect_em': 3.*set phase2.rows"):
        check_equal_steps({"c6_vanilla_em": 4, "selfcorrect_em": 3})


def test_too_few_rows_stop_before_training(run1, phase1):
    with pytest.raises(TrainingError, match="8 rows are fewer than one effective batch of 16"):
        run1(phase1.model_copy(update={"effective_batch": 16}))


# --- what the model is shown ------------------------------------------------------------------------------------------


def test_the_model_sees_the_proven_labels_and_nothing_else(base, rows, run1, phase1):
    seen = []

    def record(module, args, kwargs):
        for ids, labels, mask in zip(kwargs["input_ids"], kwargs["labels"], kwargs["attention_mask"], strict=True):
            assert (labels[mask == 0] == IGNORED).all()
            seen.append((ids[mask == 1].tolist(), labels[mask == 1].tolist()))

    handle = base.register_forward_pre_hook(record, with_kwargs=True)
    try:
        trained, _ = run1(phase1)
    finally:
        handle.remove()
    assert sorted(seen) == sorted([(r.input_ids, r.labels) for r in rows] * phase1.epochs)
    assert trained.trained_tokens == phase1.epochs * sum(r.trained_tokens for r in rows)
    assert trained.optimizer_steps == 4 and [step for step, _ in trained.losses] == [1, 2, 3, 4]


def test_the_loss_is_the_mean_over_trained_tokens(base, rows, run1, phase1):
    """One step over all rows: micro-batches of unequal length must weigh by token, not by batch."""
    expected = mean_loss(base, rows)
    trained, _ = run1(phase1.model_copy(update={"effective_batch": 8, "micro_batch": 2, "epochs": 1}))
    assert trained.losses == [(1, pytest.approx(expected, rel=1e-4))]


@pytest.mark.parametrize("longest", ["all rows but one fit", "no trained token is left"])
def test_a_trainer_that_cuts_rows_is_refused(rows, run1, phase1, longest):
    lengths = sorted(len(r.input_ids) for r in rows)
    cut = lengths[-1] - 1 if longest.startswith("all") else 8
    with pytest.raises(TrainingError, match="trainer"):
        run1(phase1.model_copy(update={"max_length": cut}))


def test_a_loss_that_is_no_number_stops_the_run_and_leaves_no_adapter(base, run1, phase1, tmp_path):
    before = fixed_logits(base)
    with pytest.raises(TrainingError, match="loss became NaN or infinite; lower the learning rate"):
        run1(phase1.model_copy(update={"learning_rate": 1e30}))
    assert not list(tmp_path.iterdir())
    assert (fixed_logits(base) == before).all()


# --- repeatability, and what moves ------------------------------------------------------------------------------------


def test_training_makes_an_adapter_and_gives_the_base_back(base, run1, run2, phase1, phase2):
    weights = {k: v.clone() for k, v in base.state_dict().items()}
    modules, logits = [(n, type(m)) for n, m in base.named_modules()], fixed_logits(base)
    _, adapter = run1(phase1)
    run2(phase2, adapter)
    assert weights.keys() == base.state_dict().keys()
    assert all(torch.equal(v, weights[k]) for k, v in base.state_dict().items())
    assert modules == [(n, type(m)) for n, m in base.named_modules()] and not base.training
    assert (fixed_logits(base) == logits).all()
    assert {p.name for p in adapter.iterdir()} == {WEIGHTS, CONFIG, "base.json"}
    assert all(".lora_" in name for name in load_file(adapter / WEIGHTS))
    assert read_json(adapter / "base.json") == {"base": "tiny"}


@pytest.mark.parametrize("learning_rate", [0.0, 1e-3], ids=["untrained", "trained"])
def test_the_seed_decides_the_adapter_to_the_last_bit(run1, phase1, learning_rate):
    phase = phase1.model_copy(update={"learning_rate": learning_rate})
    first, again, other = (sha256(run1(phase, name, seed)[1] / WEIGHTS)
                           for name, seed in (("a", 42), ("b", 42), ("c", 43)))
    assert first == again != other


def test_in_a_stack_phase_1_is_active_and_frozen(base, rows, run2, phase1_adapter, smoke, phase2):
    """The first loss is that of base + Phase 1, and Phase 1's weights stand unchanged in the joined adapter."""
    before, whole = sha256(phase1_adapter), phase2.model_copy(update={"effective_batch": 8})
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

    part, joined, rank = load_file(phase1_adapter / WEIGHTS), load_file(out / WEIGHTS), smoke.phase1.rank
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
    assert (config["r"], config["lora_alpha"], config["use_rslora"]) == (phase2.rank, phase2.alpha, True)
    assert trained.phase1_effect is None and trained.join_difference is None


def test_continue_gives_every_arm_phase_1s_shape(run2, phase2, phase1, phase1_adapter):
    """Both arms get the same steps and shape; the treated one starts from its Phase-1 weights."""
    longer = phase2.model_copy(update={"mode": "continue"})
    (with_phase1, treated), (without, plain) = run2(longer, phase1_adapter, "treated"), run2(longer, None, "plain")
    shapes = [{k: v.shape for k, v in load_file(out / WEIGHTS).items()} for out in (phase1_adapter, treated, plain)]
    assert shapes[0] == shapes[1] == shapes[2]
    for config in (read_json(out / CONFIG) for out in (treated, plain)):
        assert (config["r"], config["lora_alpha"], config["use_rslora"]) == (phase1.rank, phase1.alpha, phase1.rslora)
    assert with_phase1.optimizer_steps == without.optimizer_steps == math.ceil(8 / phase2.effective_batch)
    start, end = load_file(phase1_adapter / WEIGHTS), load_file(treated / WEIGHTS)
    moved = [(end[name] - start[name]).abs().max().item() for name in start]
    assert 0 < max(moved) < 0.05 and min(moved) > 0
    assert sha256(treated / WEIGHTS) != sha256(plain / WEIGHTS)


def test_continue_refuses_a_phase_1_adapter_of_another_shape(run2, phase2, phase1, phase1_adapter):
    with pytest.raises((TrainingError, AdapterError), match="rank"):
        run2(phase2.model_copy(update={"mode": "continue"}), phase1_adapter,
             recipe=phase1.model_copy(update={"rank": 2 * phase1.rank}))


def test_a_phase_1_without_effect_is_refused(base, run1, run2, phase1, phase2):
    """A zero learning rate leaves B at zero: such an adapter would make the treatment a second baseline."""
    _, untrained = run1(phase1.model_copy(update={"learning_rate": 0.0}))
    logits = fixed_logits(base)
    with pytest.raises(AdapterError, match="no effect on the logits"):
        run2(phase2, untrained)
    assert (fixed_logits(base) == logits).all()
