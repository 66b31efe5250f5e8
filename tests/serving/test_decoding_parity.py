"""Parity of drawn tokens: a decoder that mixes checkpoints up is found; a right one passes."""

import numpy as np
import pytest
from parity_values import ARMS, PLACES, normal

from lib.serving import parity
from lib.serving.checkpoint_logprobs import BASE
from lib.serving.rivals import ParityError


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
        ParityError, match=r"checkpoint treated: the serving engine, .* gave 500 finite .* of 512"
    ):
        parity.check_decoding(
            told | {"treated": told["treated"][:500]}, values, 0.3, [{"rms": 0.05}]
        )
    values["vanilla"]["control"][3] = np.nan
    with pytest.raises(
        ParityError, match=r"checkpoint control gives NaN .* to compare with vanilla"
    ):
        parity.check_decoding(told, values, 0.3, [{"rms": 0.05}])
