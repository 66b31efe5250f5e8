"""Parity: an engine that serves another model, adapter or scaling is found; a right one passes.

Under bf16 rounding too.
"""

import numpy as np
import pytest
from parity_values import ARMS, normal

from lib.serving.checkpoint_logprobs import BASE
from lib.serving.parity import check
from lib.serving.rivals import ParityError


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
        match=r"checkpoint treated: the serving engine gave 511 finite log-probabilities of 512",
    ):
        check(training, told, bound=0.3)
    with pytest.raises(ParityError, match=r"checkpoint treated: the serving engine gave 500"):
        check(training, told | {"treated": training["treated"][:500]}, bound=0.3)


def test_the_base_alone_is_held_to_the_bound(training):
    rows = check({BASE: training[BASE]}, {BASE: training[BASE]}, bound=0.3)
    assert rows[0]["rms"] == 0 and rows[0]["crossed"] is None
