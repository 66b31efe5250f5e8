"""Adapters: each name is its own model, and every way for an arm to be silently another."""

import json
import shutil

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from lib.training import adapters
from lib.training.adapters import AdapterError, active, attach_all
from lib.training.logits import check_distinct, fixed_logits, own_logprobs

WEIGHTS = "adapter_model.safetensors"


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
