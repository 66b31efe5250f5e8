"""Adapters: the stack, its exact join, and every way for an arm to be silently another model."""

import copy
import json
import shutil

import numpy as np
import pytest
import torch
from peft.tuners.lora import LoraLayer
from safetensors.torch import load_file, save_file

from lib.training import adapters, stacking
from lib.training.adapters import AdapterError, active, attach_all
from lib.training.logits import check_distinct, fixed_logits, own_logprobs
from lib.training.stacking import PHASE1, PHASE2

WEIGHTS = "adapter_model.safetensors"


@pytest.fixture
def stack(base, phase1_adapter, smoke):
    """Base + frozen Phase 1 + a Phase 2 that does something."""
    model = stacking.attach_stack(base, phase1_adapter, adapters.lora_config(smoke.phase2)).eval()
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if f"lora_B.{PHASE2}" in name:
                weight.normal_(std=0.05, generator=generator)
    yield model
    model.unload()


@pytest.fixture
def attached(base, phase1_adapter, tmp_path):
    """Two adapters, the second a copy that `change` alters; taken off again afterwards."""
    models = []

    def make(change=None):
        shutil.copytree(phase1_adapter, tmp_path / "second")
        if change:
            edit(tmp_path / "second", change)
        models.append(
            attach_all(base, {"first": phase1_adapter, "second": tmp_path / "second"}, "tiny")
        )
        return models[0]

    yield make
    for model in models:
        model.unload()


def edit(adapter, change):
    """Rewrites one tensor of a saved adapter in place; returns its name."""
    weights = load_file(adapter / WEIGHTS)
    name = next(n for n in weights if ".lora_B." in n)
    change(weights[name])
    save_file(weights, adapter / WEIGHTS, metadata={"format": "pt"})
    return name


def fixed_logprobs(model, adapter):
    with active(model, adapter):
        return own_logprobs(
            model, [[5, 6, 7, 8, 9, 10, 11, 12, 13], [7, 70, 40, 30, 20, 40, 60, 80, 33]], 8
        )


def put_nan(weight):
    weight[0, 0] = float("nan")


# --- the stack and its join -----------------------------------------------------------------------


def test_the_join_equals_the_stack_and_the_merged_weights(base, stack):
    """Third opinion beside stack and join: base weights plus each part's own scaling times B·A."""
    merged = copy.deepcopy(stack.base_model.model)
    layers = {n: m for n, m in merged.named_modules() if isinstance(m, LoraLayer)}
    for name, layer in layers.items():
        part = {a: layer.lora_B[a].weight @ layer.lora_A[a].weight for a in (PHASE1, PHASE2)}
        plain = layer.get_base_layer()
        with torch.no_grad():
            # smoke's α/r and α/√r.
            plain.weight += (8 / 4) * part[PHASE1] + (16 / 8**0.5) * part[PHASE2]
        merged.set_submodule(name, plain)
    stacked = fixed_logits(stack)
    assert np.abs(stacked - fixed_logits(merged)).max() < 1e-3
    difference, bound, weights = stacking.join(stack)
    assert bound == stacking.JOIN_TOLERANCE and weights < stacking.JOIN_WEIGHT_TOLERANCE
    assert list(stack.base_model.active_adapters) == [stacking.JOINED] and difference < 1e-3
    assert np.abs(fixed_logits(stack) - stacked).max() == difference
    with active(stack, None):
        assert np.abs(fixed_logits(stack) - stacked).max() > 0.1


def test_a_join_in_the_wrong_order_is_refused(stack, monkeypatch):
    real = stack.base_model.add_weighted_adapter
    monkeypatch.setattr(
        stack.base_model,
        "add_weighted_adapter",
        lambda names, *args, **kwargs: real(names[::-1], *args, **kwargs),
    )
    with pytest.raises(
        AdapterError, match=r"scales its sum by .*, not by 1; join in the order Phase 1, Phase 2"
    ):
        stacking.join(stack)


@pytest.mark.parametrize("factor", [0.0, 1.01, float("nan")])
def test_a_join_that_loses_a_part_or_its_scaling_is_refused(stack, monkeypatch, factor):
    real = stacking.concatenated

    def planted(layer):
        a, b = real(layer)
        a[layer.r[PHASE1] :] *= factor
        return a, b

    monkeypatch.setattr(stacking, "concatenated", planted)
    with pytest.raises(AdapterError, match="joined adapter and stack differ by"):
        stacking.join(stack)


def test_a_join_below_a_bf16_base_keeps_fp32_and_is_compared_in_weights(
    base, phase1_adapter, smoke, monkeypatch
):
    model = stacking.attach_stack(
        copy.deepcopy(base).to(torch.bfloat16), phase1_adapter, adapters.lora_config(smoke.phase2)
    )
    for layer in model.modules():
        if isinstance(layer, LoraLayer):
            # Far below what bf16 logits can show.
            torch.nn.init.normal_(layer.lora_B[PHASE2].weight, std=1e-4)
    real = stacking.concatenated
    monkeypatch.setattr(
        stacking, "concatenated", lambda layer: tuple(w.bfloat16() for w in real(layer))
    )
    with pytest.raises(AdapterError, match="differs from the sum of its parts"):
        stacking.join(copy.deepcopy(model))
    monkeypatch.setattr(stacking, "concatenated", real)
    stacking.join(model)
    kinds = {
        layer.lora_A[stacking.JOINED].weight.dtype
        for layer in model.modules()
        if isinstance(layer, LoraLayer)
    }
    assert kinds == {torch.float32}


def test_a_silently_inactive_phase_1_is_refused(stack):
    stacking.check_stack(stack)
    stack.set_adapter(PHASE2)  # PeftModel's own: activates one adapter and switches the other off
    with pytest.raises(AdapterError, match="without Phase 1"):
        stacking.check_stack(stack)


@pytest.mark.parametrize(
    ("part", "trains", "reason"),
    [(PHASE1, True, r"phase1.* is trainable; in `stack`"), (PHASE2, False, "nothing is trainable")],
)
def test_only_phase_2_may_train(stack, part, trains, reason):
    for name, parameter in stack.named_parameters():
        if f".{part}." in name:
            parameter.requires_grad = trains
    with pytest.raises(AdapterError, match=reason):
        stacking.check_stack(stack)


# --- which adapter is active ----------------------------------------------------------------------


def test_each_name_is_its_own_model_and_none_is_the_base(base, attached):
    bare = fixed_logits(base)
    model = attached(lambda weight: weight.mul_(3))
    seen = {name: fixed_logprobs(model, name) for name in ("first", "second", None)}
    with active(model, None):
        assert (fixed_logits(model) == bare).all()
    assert (fixed_logprobs(model, "first") == seen["first"]).all(), "the base stayed active"
    nearest = check_distinct({str(name): values for name, values in seen.items()})
    assert nearest.keys() == {"first", "second", "None"} and min(nearest.values()) > 1e-3
    assert all((values < 0).all() for values in seen.values())


def test_an_unloaded_name_is_refused(base, attached):
    with pytest.raises(AdapterError, match="'first' is not loaded; load it"):
        fixed_logprobs(base, "first")
    with pytest.raises(AdapterError, match="'third' is not loaded; loaded are first, second"):
        fixed_logprobs(attached(), "third")


# --- integrity ------------------------------------------------------------------------------------


def test_a_copied_adapter_file_is_refused(attached):
    model = attached()
    with pytest.raises(
        AdapterError, match=r"c6_vanilla_em and selfcorrect_em are identical .*train the arm again"
    ):
        check_distinct(
            {
                "base": fixed_logprobs(model, None),
                "c6_vanilla_em": fixed_logprobs(model, "first"),
                "selfcorrect_em": fixed_logprobs(model, "second"),
            }
        )


def test_weights_that_are_no_numbers_are_refused(phase1_adapter, attached, tmp_path):
    adapters.check_finite(phase1_adapter, "phase1")
    model = attached(put_nan)
    with pytest.raises(AdapterError, match=r"adapter second: .*lora_B.* holds NaN or infinity"):
        adapters.check_finite(tmp_path / "second", "second")
    with (
        pytest.raises(AdapterError, match="checkpoint arm gives NaN"),
        np.errstate(invalid="ignore"),
    ):
        check_distinct(
            {"base": fixed_logprobs(model, None), "arm": fixed_logprobs(model, "second")}
        )


@pytest.mark.parametrize("record", ["another", "missing"])
def test_an_adapter_of_another_base_is_refused(base, phase1_adapter, tmp_path, record):
    adapter = shutil.copytree(phase1_adapter, tmp_path / "arm")
    adapters.check_base(adapter, "tiny")
    if record == "missing":
        (adapter / "base.json").unlink()
    with pytest.raises(
        AdapterError, match=r"adapter arm was trained on base .*train it again on this base"
    ):
        attach_all(base, {"arm": adapter}, "other" if record == "another" else "tiny")
    assert not hasattr(base, "peft_config")


@pytest.mark.parametrize(
    "targets", [["v_proj", "q_proj", "o_proj"], ["o_proj", "v_proj", "q_proj"], ["q_proj"]]
)
def test_equal_adapters_have_equal_configurations_whatever_order_peft_wrote(targets, tmp_path):
    config = {"target_modules": targets, "r": 4}
    (tmp_path / "adapter_config.json").write_text(json.dumps(config, indent=2, sort_keys=True))
    adapters.sort_targets(tmp_path)
    written = (tmp_path / "adapter_config.json").read_text()
    ordered = {"r": 4, "target_modules": sorted(targets)}
    assert written == json.dumps(ordered, indent=2, sort_keys=True)


def test_a_pattern_of_targets_stays_as_it_is(tmp_path):
    text = json.dumps({"target_modules": "all-linear"})
    (tmp_path / "adapter_config.json").write_text(text)
    adapters.sort_targets(tmp_path)
    assert (tmp_path / "adapter_config.json").read_text() == text


def test_a_trained_adapter_is_saved_with_its_targets_in_order(phase1_adapter):
    config = json.loads((phase1_adapter / "adapter_config.json").read_text())
    assert len(config["target_modules"]) > 1
    assert config["target_modules"] == sorted(config["target_modules"])
