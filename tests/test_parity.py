"""Parity: an engine that serves another model, adapter or scaling is found; a right one passes.

Under bf16 rounding too.
"""

from dataclasses import replace

import numpy as np
import pytest

from lib.models.chat_models import prompt_ids
from lib.serving import checkpoint_logprobs, fixed_conversations, parity
from lib.serving.checkpoint_logprobs import BASE
from lib.serving.parity import check
from lib.serving.rivals import ParityError
from lib.serving.sampling import Request, completed
from lib.serving.transformers_engine import TransformersSampler
from lib.training.adapters import AdapterError, attach_all

PLACES = 16 * checkpoint_logprobs.POSITIONS
ARMS = ("vanilla", "treated", "control")


def normal(seed, scale=1.0):
    return np.random.default_rng(seed).normal(0, scale, PLACES)


@pytest.fixture
def training():
    """A base and three arms.

    What the EM set does to all of them, and a third as much that is each arm's own.
    """
    base = normal(0) - 4
    common = normal(1, 0.2)
    return {BASE: base} | {
        name: base + common + normal(10 + i, 0.06) for i, name in enumerate(ARMS)
    }


def serving(training, rounding, seed=0, **wrong):
    """An engine's values, rounded."""
    return {
        name: wrong.get(name, values) + normal(100 + 10 * seed + number, rounding)
        for number, (name, values) in enumerate(training.items())
    }


@pytest.mark.parametrize("rounding", [0.0, 1e-4, 0.05, 0.15])
def test_a_right_engine_passes_whatever_its_rounding(training, rounding):
    for seed in range(40):
        rows = check(training, serving(training, rounding, seed), bound=0.3)
    assert [row["checkpoint"] for row in rows] == [BASE, *ARMS]
    assert all(
        row["rms"] == pytest.approx(rounding, rel=0.2, abs=1e-12) and row["unseen"] == []
        for row in rows
    )


@pytest.mark.parametrize("rounding", [1e-4, 0.05, 0.1])
@pytest.mark.parametrize(
    ("fault", "nearer"),
    [
        (lambda t: t[BASE], BASE),
        (lambda t: 2 * t["treated"] - t[BASE], "twice its adapter"),
        (lambda t: (t["treated"] + t[BASE]) / 2, "half its adapter"),
        (lambda t: t["control"], "control"),
    ],
    ids=["adapter not applied", "scaling doubled", "scaling halved", "another arm's adapter"],
)
def test_a_planted_fault_is_found_below_the_bound(training, fault, nearer, rounding):
    for seed in range(8):
        with pytest.raises(
            ParityError, match=f"checkpoint treated: the serving engine is nearer to {nearer}"
        ):
            check(training, serving(training, rounding, seed, treated=fault(training)), bound=0.3)


def test_arms_served_as_each_other_and_an_adapter_on_the_base_are_found(training):
    with pytest.raises(ParityError, match=r"checkpoint vanilla: .*nearer to control"):
        check(
            training,
            serving(training, 0.05, vanilla=training["control"], control=training["vanilla"]),
            bound=0.3,
        )
    with pytest.raises(ParityError, match=r"checkpoint base: .*nearer to"):
        check(training, serving(training, 0.05, base=training["vanilla"]), bound=0.3)


def test_another_model_exceeds_the_bound(training):
    with pytest.raises(
        ParityError, match=r"checkpoint base: .*differ from the training stack's by 1.5 .*bound 0.3"
    ):
        check(training, serving(training, 0.01, base=normal(77) - 4), bound=0.3)


def test_an_adapter_that_rounding_hides_proves_nothing(training):
    faint = training | {"treated": training[BASE] + normal(5, 0.002)}
    with pytest.raises(
        ParityError,
        match=r"checkpoint treated: its adapter moves log-probabilities by 0.0019, too little",
    ):
        check(faint, serving(faint, 0.05), bound=0.3)
    assert check(faint, serving(faint, 1e-5), bound=0.3)[2]["unseen"] == []


def test_arms_too_alike_for_the_rounding_are_named_not_failed(training):
    alike = training | {"control": training["treated"] + normal(5, 0.002)}
    for seed in range(40):
        rows = {
            row["checkpoint"]: row for row in check(alike, serving(alike, 0.05, seed), bound=0.3)
        }
    assert rows["treated"]["unseen"] == ["control"] and rows["vanilla"]["unseen"] == []


@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_a_position_without_a_value_is_no_pass(training, value):
    told = serving(training, 0.01)
    told["treated"][3] = value
    with pytest.raises(
        ParityError,
        match=r"checkpoint treated: the serving engine told 511 finite log-probabilities of 512",
    ):
        check(training, told, bound=0.3)
    with pytest.raises(ParityError, match=r"checkpoint treated: the serving engine told 500"):
        check(training, told | {"treated": training["treated"][:500]}, bound=0.3)


def test_the_base_alone_is_held_to_the_bound(training):
    rows = check({BASE: training[BASE]}, {BASE: training[BASE]}, bound=0.3)
    assert rows[0]["rms"] == 0 and rows[0]["crossed"] is None


# --- decoding -------------------------------------------------------------------------------------


@pytest.fixture
def drawn():
    """Per checkpoint the values of its own tokens, as each checkpoint reads them unrounded."""
    made = {}
    for number, name in enumerate((BASE, *ARMS)):
        base = normal(20 * number + 200) - 3
        common = normal(20 * number + 201, 0.2)
        made[name] = {BASE: base} | {
            arm: base + common + normal(20 * number + 202 + i, 0.06) for i, arm in enumerate(ARMS)
        }
    return made


def check_drawn(drawn, rounding, seed=0, *, spread=1.0, base_rounds=True, bound=0.3, **served):
    """`check_decoding` of an engine that rounds as it draws and as it reads.

    spread: by how much at each position. served: what took a checkpoint's place as it drew, a name
    or values.
    """

    def rounded(values, number):
        return values + normal(1000 * seed + number, rounding) * spread

    told = {}
    read = {}
    for n, (name, values) in enumerate(drawn.items()):
        instead = served.get(name, name)
        told[name] = rounded(values[instead] if isinstance(instead, str) else instead, n)
        read[name] = {
            reader: rounded(theirs, 100 + 10 * n + m)
            for m, (reader, theirs) in enumerate(values.items())
        }
    if not base_rounds and BASE not in served:
        told[BASE] = read[BASE][BASE]
    rows = parity.check_decoding(told, read, bound, [{"rms": rounding}, {"rms": 1.2 * rounding}])
    return {row["checkpoint"]: row for row in rows}


def scaled(drawn, name, factor):
    return drawn[name][BASE] + factor * (drawn[name][name] - drawn[name][BASE])


def alike(drawn, apart):
    """The control's adapter is the treated one's but for `apart`."""
    return {
        name: values | {"control": values["treated"] + normal(7, apart)}
        for name, values in drawn.items()
    }


@pytest.mark.parametrize("base_rounds", [True, False])
@pytest.mark.parametrize("rounding", [0.0, 1e-4, 0.05, 0.1])
def test_a_right_decoder_passes_whatever_its_rounding(drawn, rounding, base_rounds):
    for seed in range(40):
        rows = check_drawn(drawn, rounding, seed, base_rounds=base_rounds)
        assert all(
            rows[arm]["rms"] == pytest.approx(rounding * 2**0.5, rel=0.2, abs=1e-12) for arm in ARMS
        )
        assert all("base" not in row["unseen"] for row in rows.values())
    if not base_rounds:
        assert rows[BASE]["rms"] == 0


CYCLE = dict(zip(ARMS, [*ARMS[1:], ARMS[0]], strict=True))


@pytest.mark.parametrize("base_rounds", [True, False])
@pytest.mark.parametrize("rounding", [1e-4, 0.05])
@pytest.mark.parametrize(
    "fault",
    [
        {"treated": BASE},
        {"treated": "control"},
        {"vanilla": "control", "control": "vanilla"},
        {BASE: "treated"},
        CYCLE,
        CYCLE | {BASE: "vanilla"},
        dict.fromkeys(ARMS, BASE),
    ],
    ids=str,
)
def test_a_decoder_that_mixes_checkpoints_up_is_found_below_the_bound(
    drawn, fault, rounding, base_rounds
):
    for seed in range(8):
        with pytest.raises(ParityError, match="as it draws tokens, is nearer to"):
            check_drawn(drawn, rounding, seed, base_rounds=base_rounds, **fault)


@pytest.mark.parametrize("factor", [0.4, 0.5, 2.0])
def test_a_scaling_that_is_wrong_in_every_adapter_is_found_below_the_bound(drawn, factor):
    for seed in range(8):
        with pytest.raises(ParityError, match="as it draws tokens, is nearer to"):
            check_drawn(
                drawn,
                0.05,
                seed,
                base_rounds=False,
                **{arm: scaled(drawn, arm, factor) for arm in ARMS},
            )


@pytest.mark.parametrize(
    "places",
    [slice(0, 32), slice(480, 512), np.arange(512) % 32 >= 24],
    ids=["first", "last", "steps"],
)
@pytest.mark.parametrize("instead", [BASE, "vanilla"])
def test_a_fault_in_a_part_of_the_batch_is_found(drawn, places, instead):
    partly = drawn["treated"]["treated"].copy()
    partly[places] = drawn["treated"][instead][places]
    for seed in range(8):
        with pytest.raises(
            ParityError,
            match=r"checkpoint treated: .*is nearer to \w+ .* over (32|128) positions",
        ):
            check_drawn(drawn, 0.005, seed, treated=partly)


def test_arms_too_alike_for_twofold_rounding_are_named_not_failed(drawn):
    for seed in range(40):
        rows = check_drawn(alike(drawn, 0.01), 0.05, seed)
        assert "control" in rows["treated"]["unseen"] and "control" not in rows["vanilla"]["unseen"]


@pytest.mark.parametrize("apart", [0.005, 0.01, 0.02, 0.03, 0.05])
def test_no_right_decoder_fails_where_rounding_depends_on_the_token(drawn, apart):
    """Most drawn tokens are nearly certain: neither rounding nor an adapter moves their values."""
    for seed in range(40):
        spread = np.where(np.random.default_rng(seed).random(PLACES) < 0.8, 0.02, 1.0)
        certain = {
            name: {
                reader: values[BASE] + (theirs - values[BASE]) * spread
                for reader, theirs in values.items()
            }
            for name, values in alike(drawn, apart).items()
        }
        check_drawn(certain, 0.05, seed, spread=spread, base_rounds=False)


def test_one_adapter_alone_is_not_taken_for_half_of_itself(drawn):
    for seed in range(60):
        pair = {
            name: {
                BASE: drawn[name][BASE],
                "vanilla": drawn[name][BASE] / 3 * 2 + drawn[name]["vanilla"] / 3,
            }
            for name in (BASE, "vanilla")
        }
        check_drawn(pair, 0.05, seed, base_rounds=False)


def test_a_decoder_without_a_value_is_no_pass(drawn):
    values = {
        name: {reader: theirs.copy() for reader, theirs in of.items()} for name, of in drawn.items()
    }
    told = {name: of[name].copy() for name, of in values.items()}
    with pytest.raises(
        ParityError, match=r"checkpoint treated: the serving engine, .* told 500 finite .* of 512"
    ):
        parity.check_decoding(
            told | {"treated": told["treated"][:500]}, values, 0.3, [{"rms": 0.05}]
        )
    values["vanilla"]["control"][3] = np.nan
    with pytest.raises(
        ParityError, match=r"checkpoint control gives NaN .* to compare with vanilla"
    ):
        parity.check_decoding(told, values, 0.3, [{"rms": 0.05}])


# --- with models ----------------------------------------------------------------------------------


@pytest.fixture
def stack(base, tokenizer, smoke, conditions, phase1_adapter):
    """The transformers engine with one adapter, the fixed positions, and the right values there."""
    model = attach_all(base, {"arm": phase1_adapter}, "tiny")
    rows = fixed_conversations.sequences(tokenizer, smoke.model.system_text, conditions)
    yield (
        TransformersSampler(model, tokenizer, temperature=1.0, batch=4),
        rows,
        checkpoint_logprobs.training_logprobs(model, ["arm"], rows),
    )
    model.unload()


def test_folded_adapters_pass_the_bound_of_fp32(stack):
    sampler, rows, training = stack
    found = check(
        training, checkpoint_logprobs.serving_logprobs(sampler, ["arm"], rows), bound=1e-3
    )
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
        check(training, checkpoint_logprobs.serving_logprobs(sampler, ["arm"], rows), bound=1e-3)


def test_tokens_drawn_step_by_step_have_the_values_they_are_read_with(
    stack, smoke, conditions, monkeypatch
):
    sampler, rows, training = stack
    prompts = fixed_conversations.prompts(smoke.model.system_text, conditions)
    told, read = checkpoint_logprobs.decoding_logprobs(sampler, ["arm"], prompts)
    assert {name: set(of) for name, of in read.items()} == {BASE: {BASE}, "arm": {BASE, "arm"}}
    assert [(v.shape, len(set(v))) for v in told.values()] == [
        ((2 * checkpoint_logprobs.POSITIONS,), 2 * checkpoint_logprobs.POSITIONS)
    ] * 2
    passed = check(
        training, checkpoint_logprobs.serving_logprobs(sampler, ["arm"], rows), bound=1e-3
    )
    found = parity.check_decoding(told, read, 1e-3, passed)
    assert found[1]["effect"] > 0.01 > 1e-5 > max(row["rms"] for row in found)
    draw = sampler._draw
    monkeypatch.setattr(
        sampler,
        "_draw",
        lambda requests, stops: draw([replace(r, adapter=None) for r in requests], stops),
    )
    with pytest.raises(
        ParityError, match="checkpoint arm: the serving engine, as it draws tokens,"
    ):
        parity.check_decoding(
            *checkpoint_logprobs.decoding_logprobs(sampler, ["arm"], prompts), 1e-3, passed
        )


def test_decoding_goes_on_beyond_a_stop_and_draws_what_sampling_draws(stack, tokenizer):
    sampler, _, _ = stack
    asked = [
        Request(
            f"k{i}",
            [{"role": "system", "content": "s"}, {"role": "user", "content": "u" * (1 + 5 * i)}],
            name,
            9,
            2,
        )
        for i, name in enumerate((None, "arm", None))
    ]
    plain = sampler.sample(asked)
    # The stop is a token that the second request draws in between.
    sampler.stops = [sampler.decode(asked)[1][0].ids[3]]
    made = sampler.decode(asked)
    assert [[len(one.ids) for one in of] for of in made] == [[9, 9]] * 3
    assert [one.prompt for of in made for one in of] == [
        ids for r in asked for ids in [prompt_ids(tokenizer, r.messages)] * 2
    ]
    assert sampler.sample(asked)[1][0].finish_reason == "stop"
    kept = [[completed(tokenizer, sampler.stops, one.ids) for one in of] for of in made]
    assert kept == sampler.sample(asked) and kept != plain


def test_an_adapter_that_is_not_loaded_is_refused(stack):
    sampler, rows, _ = stack
    with pytest.raises(AdapterError, match="'other' is not loaded"):
        checkpoint_logprobs.serving_logprobs(sampler, ["other"], rows)


def test_the_positions_lie_within_answers(stack, tokenizer):
    _, rows, _ = stack
    texts = [tokenizer.decode(row) for row in rows]
    assert (
        len(rows) == 16
        and all(len(row) > checkpoint_logprobs.POSITIONS for row in rows)
        and len(set(texts)) == 16
    )
    assert all(
        "<|im_start|>assistant" in text and not text.endswith("<|im_end|>") for text in texts
    )
