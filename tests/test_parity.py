"""Parity: an engine that serves another model, adapter or scaling is found, under bf16 rounding too; a right one passes."""

from dataclasses import replace

import numpy as np
import pytest

from lib import parity
from lib.adapters import AdapterError, attach_all
from lib.models import prompt_ids
from lib.parity import BASE, ParityError, check
from lib.sampling import Request, completed
from lib.transformers_engine import TransformersSampler

PLACES = 16 * parity.POSITIONS
ARMS = ("vanilla", "treated", "control")


def normal(seed, scale=1.0):
    return np.random.default_rng(seed).normal(0, scale, PLACES)


@pytest.fixture
def training():
    """A base and three arms: what the EM set does to all, and a third as much that is each arm's own."""
    base, common = normal(0) - 4, normal(1, 0.2)
    return {BASE: base} | {name: base + common + normal(10 + i, 0.06) for i, name in enumerate(ARMS)}


def serving(training, rounding, seed=0, **wrong):
    """An engine's values, rounded."""
    return {name: wrong.get(name, values) + normal(100 + 10 * seed + number, rounding)
            for number, (name, values) in enumerate(training.items())}


@pytest.mark.parametrize("rounding", [0.0, 1e-4, 0.05, 0.15])
def test_a_right_engine_passes_whatever_its_rounding(training, rounding):
    for seed in range(40):
        rows = check(training, serving(training, rounding, seed), bound=0.3)
    assert [row["checkpoint"] for row in rows] == [BASE, *ARMS]
    assert all(row["rms"] == pytest.approx(rounding, rel=0.2, abs=1e-12) and row["unseen"] == [] for row in rows)


@pytest.mark.parametrize("rounding", [1e-4, 0.05, 0.1])
@pytest.mark.parametrize(("fault", "nearer"), [
    (lambda t: t[BASE], BASE), (lambda t: 2 * t["treated"] - t[BASE], "twice its adapter"),
    (lambda t: (t["treated"] + t[BASE]) / 2, "half its adapter"), (lambda t: t["control"], "control")],
    ids=["adapter not applied", "scaling doubled", "scaling halved", "another arm's adapter"])
def test_a_planted_fault_is_found_below_the_bound(training, fault, nearer, rounding):
    for seed in range(8):
        with pytest.raises(ParityError, match=f"checkpoint treated: the serving engine stands nearer to {nearer}"):
            check(training, serving(training, rounding, seed, treated=fault(training)), bound=0.3)


def test_arms_served_as_each_other_and_an_adapter_on_the_base_are_found(training):
    with pytest.raises(ParityError, match=r"checkpoint vanilla: .*nearer to control"):
        check(training, serving(training, 0.05, vanilla=training["control"], control=training["vanilla"]), bound=0.3)
    with pytest.raises(ParityError, match=r"checkpoint base: .*nearer to"):
        check(training, serving(training, 0.05, base=training["vanilla"]), bound=0.3)


def test_another_model_exceeds_the_bound(training):
    with pytest.raises(ParityError, match=r"checkpoint base: .*differ from the training stack's by 1.5 .*bound 0.3"):
        check(training, serving(training, 0.01, base=normal(77) - 4), bound=0.3)


def test_an_adapter_that_rounding_hides_proves_nothing(training):
    faint = training | {"treated": training[BASE] + normal(5, 0.002)}
    with pytest.raises(ParityError, match=r"checkpoint treated: its adapter moves log-probabilities by 0.0019, too little"):
        check(faint, serving(faint, 0.05), bound=0.3)
    assert check(faint, serving(faint, 1e-5), bound=0.3)[2]["unseen"] == []


def test_arms_too_alike_for_the_rounding_are_named_not_failed(training):
    alike = training | {"control": training["treated"] + normal(5, 0.002)}
    for seed in range(40):
        rows = {row["checkpoint"]: row for row in check(alike, serving(alike, 0.05, seed), bound=0.3)}
    assert rows["treated"]["unseen"] == ["control"] and rows["vanilla"]["unseen"] == []


@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_a_position_without_a_value_is_no_pass(training, value):
    told = serving(training, 0.01)
    told["treated"][3] = value
    with pytest.raises(ParityError, match=r"checkpoint treated: the serving engine told 511 finite log-probabilities of 512"):
        check(training, told, bound=0.3)
    with pytest.raises(ParityError, match=r"checkpoint treated: the serving engine told 500"):
        check(training, told | {"treated": training["treated"][:500]}, bound=0.3)


def test_the_base_alone_is_held_to_the_bound(training):
    rows = check({BASE: training[BASE]}, {BASE: training[BASE]}, bound=0.3)
    assert rows[0]["rms"] == 0 and rows[0]["crossed"] is None


# --- decoding ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def drawn():
    """Per checkpoint the values of its own tokens, as each checkpoint reads them without rounding."""
    made = {}
    for number, name in enumerate((BASE, *ARMS)):
        base, common = normal(20 * number + 200) - 3, normal(20 * number + 201, 0.2)
        made[name] = {BASE: base} | {arm: base + common + normal(20 * number + 202 + i, 0.06) for i, arm in enumerate(ARMS)}
    return made


def decoded(drawn, rounding, seed=0, **served):
    """What an engine tells that rounds as it draws and as it reads; served: who took a checkpoint's place as it drew."""
    told = {name: values[served.get(name, name)] + normal(1000 + 10 * seed + n, rounding)
            for n, (name, values) in enumerate(drawn.items())}
    return told, {name: {reader: v + normal(5000 + 100 * seed + 10 * n + m, rounding)
                         for m, (reader, v) in enumerate(values.items())} for n, (name, values) in enumerate(drawn.items())}


@pytest.mark.parametrize("rounding", [0.0, 1e-4, 0.05, 0.15])
def test_a_right_decoder_passes_whatever_its_rounding(drawn, rounding):
    for seed in range(40):
        rows = parity.check_decoding(*decoded(drawn, rounding, seed), bound=0.3)
        assert all(row["rms"] == pytest.approx(rounding * 2**0.5, rel=0.2, abs=1e-12) for row in rows)
        assert all("base" not in row["unseen"] for row in rows)


def test_a_base_that_rounds_alike_in_both_ways_makes_no_other_checkpoint_fail(drawn):
    alike = {name: values | {"control": values["treated"] + normal(7, 0.03)} for name, values in drawn.items()}
    for seed in range(40):
        told, read = decoded(alike, 0.05, seed)
        rows = {row["checkpoint"]: row for row in parity.check_decoding(told | {BASE: read[BASE][BASE]}, read, bound=0.3)}
        assert rows[BASE]["rms"] == 0 and 0 < rows["vanilla"]["crossed"] < 0.5


@pytest.mark.parametrize("rounding", [1e-4, 0.05])
@pytest.mark.parametrize("fault", [{"treated": BASE}, {"treated": "control"}, {"vanilla": "control", "control": "vanilla"},
                                   {BASE: "treated"}], ids=str)
def test_a_decoder_that_mixes_checkpoints_up_is_found_below_the_bound(drawn, fault, rounding):
    for seed in range(8):
        with pytest.raises(ParityError, match="as it draws tokens, stands nearer to"):
            parity.check_decoding(*decoded(drawn, rounding, seed, **fault), bound=0.3)


def test_arms_too_alike_for_twofold_rounding_are_named_not_failed(drawn):
    alike = {name: values | {"control": values["treated"] + normal(7, 0.01)} for name, values in drawn.items()}
    for seed in range(40):
        rows = {row["checkpoint"]: row for row in parity.check_decoding(*decoded(alike, 0.05, seed), bound=0.3)}
        assert "control" in rows["treated"]["unseen"] and "control" not in rows["vanilla"]["unseen"]


# --- with models ------------------------------------------------------------------------------------------------------


@pytest.fixture
def stack(base, tokenizer, smoke, conditions, phase1_adapter):
    """The transformers engine with one adapter, the fixed positions, and the training stack's values there."""
    model = attach_all(base, {"arm": phase1_adapter}, "tiny")
    rows = parity.sequences(tokenizer, smoke.model.system_text, conditions)
    yield TransformersSampler(model, tokenizer, temperature=1.0, batch=4), rows, parity.training_logprobs(model, ["arm"], rows)
    model.unload()


def test_folded_adapters_pass_the_bound_of_fp32(stack):
    sampler, rows, training = stack
    found = check(training, parity.serving_logprobs(sampler, ["arm"], rows), bound=1e-3)
    assert [training[row["checkpoint"]].shape for row in found] == [(512,)] * 2
    assert found[1]["effect"] > 0.01 > 1e-5 > found[1]["rms"]


@pytest.mark.parametrize("factor", [0.0, 0.5, 2.0])
def test_a_wrongly_scaled_fold_is_found_in_fp32(stack, factor, monkeypatch):
    from peft.tuners.lora import LoraLayer

    sampler, rows, training = stack
    for layer in sampler.model.modules():
        if isinstance(layer, LoraLayer):
            monkeypatch.setitem(layer.scaling, "arm", layer.scaling["arm"] * factor)
    with pytest.raises(ParityError, match=r"checkpoint arm"):
        check(training, parity.serving_logprobs(sampler, ["arm"], rows), bound=1e-3)


def test_tokens_drawn_step_by_step_have_the_values_they_are_read_with(stack, smoke, conditions, monkeypatch):
    sampler, _, _ = stack
    prompts = parity.conversations(smoke.model.system_text, conditions)
    told, read = parity.decoding_logprobs(sampler, ["arm"], prompts)
    assert {name: set(of) for name, of in read.items()} == {BASE: {BASE}, "arm": {BASE, "arm"}}
    assert [(v.shape, len(set(v))) for v in told.values()] == [((4 * parity.POSITIONS,), 4 * parity.POSITIONS)] * 2
    found = parity.check_decoding(told, read, bound=1e-3)
    assert found[1]["effect"] > 0.01 > 1e-5 > max(row["rms"] for row in found)
    draw = sampler._draw
    monkeypatch.setattr(sampler, "_draw", lambda requests, stops: draw([replace(r, adapter=None) for r in requests], stops))
    with pytest.raises(ParityError, match="checkpoint arm: the serving engine, as it draws tokens,"):
        parity.check_decoding(*parity.decoding_logprobs(sampler, ["arm"], prompts), bound=1e-3)


def test_decoding_goes_on_beyond_a_stop_and_draws_what_sampling_draws(stack, tokenizer):
    sampler, _, _ = stack
    asked = [Request(f"k{i}", [{"role": "system", "content": "s"}, {"role": "user", "content": "u" * (1 + 5 * i)}], name, 9, 2)
             for i, name in enumerate((None, "arm", None))]
    plain = sampler.sample(asked)
    # The stop is a token that the second request draws in between.
    sampler.stops = [sampler.decode(asked)[1][0].ids[3]]
    made = sampler.decode(asked)
    assert [[len(one.ids) for one in of] for of in made] == [[9, 9]] * 3
    assert [one.prompt for of in made for one in of] == [ids for r in asked for ids in [prompt_ids(tokenizer, r.messages)] * 2]
    assert sampler.sample(asked)[1][0].finish_reason == "stop"
    kept = [[completed(tokenizer, sampler.stops, one.ids) for one in of] for of in made]
    assert kept == sampler.sample(asked) and kept != plain


def test_an_adapter_that_is_not_loaded_is_refused(stack):
    sampler, rows, _ = stack
    with pytest.raises(AdapterError, match="'other' is not loaded"):
        parity.serving_logprobs(sampler, ["other"], rows)


def test_the_positions_lie_within_answers(stack, tokenizer):
    _, rows, _ = stack
    texts = [tokenizer.decode(row) for row in rows]
    assert len(rows) == 16 and all(len(row) > parity.POSITIONS for row in rows) and len(set(texts)) == 16
    assert all("<|im_start|>assistant" in text and not text.endswith("<|im_end|>") for text in texts)
