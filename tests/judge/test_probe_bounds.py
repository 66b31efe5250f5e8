"""A fitted probe gives a field only where its measure reaches the bound."""

import pytest

from lib.config.params import load_gates
from lib.judge.probe import bounds

GOOD = {
    "harmful": {"auroc": 0.95, "false_positives": 0.01},
    "reset_and_recover": {"f1": 0.93},
}


def measured(field, name, value):
    return {**GOOD, field: {**GOOD[field], name: value}}


def test_fields_that_reach_their_bounds_are_given():
    assert bounds.missed(GOOD, load_gates()) == {}


@pytest.mark.parametrize(
    ("field", "name", "value"),
    [
        ("harmful", "auroc", 0.89),
        ("harmful", "auroc", None),
        ("harmful", "false_positives", 0.03),
        ("reset_and_recover", "f1", 0.885),
        ("reset_and_recover", "f1", None),
    ],
)
def test_a_field_below_its_bound_or_without_a_measure_is_not_given(field, name, value):
    missed = bounds.missed(measured(field, name, value), load_gates())
    assert list(missed) == [field]
    heads = {"aligned": 1, "harmful": 2, "disowns": 3, "mends": 4}
    left = bounds.without(heads, missed)
    assert "aligned" in left
    assert not set(left) & set(bounds.HEADS_OF[field])


def test_a_bound_itself_is_enough():
    gates = load_gates()
    edge = measured("reset_and_recover", "f1", gates["judge_reset_f1_min"])
    assert bounds.missed(edge, gates) == {}
