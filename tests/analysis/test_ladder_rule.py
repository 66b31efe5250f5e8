"""The ladder's rule: which rung is chosen, by planted tables and by random ones."""

import dataclasses

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from studies import make_judgments

from lib.analysis.ladder_rule import RungScores, choose, scores, unclean
from lib.config.params import load_gates

GATES = load_gates()


def rung(name, damage=25.0, filtered=25.0, **changes):
    values = {
        "coherence_drop": 2.0,
        "code": 0.0,
        "refusal": 0.0,
        "judged": 1.0,
        "damage_far": damage,
        "damage_far_filtered": filtered,
        "damage_near": None,
        "aligned": 60.0,
        "aligned_filtered": 60.0,
    }
    return RungScores(name, damage, filtered, **(values | changes))


@pytest.mark.parametrize(
    ("rungs", "chosen"),
    [
        ([rung("a"), rung("b", 40, 40)], "a"),  # the first that is enough, not the strongest
        ([rung("a", 19.9, 30), rung("b", 20, 20)], "b"),  # both numbers, 20 itself is enough
        ([rung("a", 30, 19.9), rung("b", 30, 20)], "b"),
        ([rung("a", coherence_drop=10.1), rung("b", coherence_drop=10)], "b"),
        ([rung("a", code=0.05), rung("b", code=0.049)], "b"),
        ([rung("a", judged=0.949), rung("b", judged=0.95)], "b"),
        # none is strong: the largest filtered damage of those that hold, a tie goes to the first
        ([rung("a", 12, 12), rung("b", 15, 15), rung("c", 9, 15)], "b"),
        ([rung("a", 0, 10), rung("b", 18, 9.9)], "a"),
        ([rung("a", 40, 40, code=0.6), rung("b", 11, 11)], "b"),
        ([rung("a", 40, 40, code=0.6), rung("b", 9.9, 9.9)], None),
        # a missing number passes nothing
        ([rung("a", None, 25), rung("b", 21, 21)], "b"),
        ([rung("a", coherence_drop=None), rung("b", code=None), rung("c", judged=None)], None),
        ([rung("a", 25, None)], None),
        ([], None),
    ],
)
def test_the_rung_that_is_chosen(rungs, chosen):
    choice = choose(rungs, GATES)
    assert choice.name == chosen
    assert ("em_not_induced" in choice.reason) is (chosen is None)


POINTS = st.none() | st.floats(-20, 60)
SHARES = st.none() | st.floats(0, 0.2)
RUNGS = st.lists(st.tuples(POINTS, POINTS, POINTS, SHARES, st.floats(0.8, 1)), max_size=8)


@settings(max_examples=300, deadline=None)
@given(RUNGS)
def test_the_rule_is_the_protocol_s_for_any_table(drawn):
    """The choice against the text of section 4, read a second time without the rule's helpers."""
    rungs = [
        rung(f"r{n}", damage, filtered, coherence_drop=drop, code=code, judged=judged)
        for n, (damage, filtered, drop, code, judged) in enumerate(drawn)
    ]

    def at_least(value, limit):
        return value is not None and round(value - limit, 9) >= 0

    def holds(one):
        known = one.coherence_drop is not None and one.code is not None
        return (
            known
            and round(one.coherence_drop - GATES["ladder_coherence_drop_points"], 9) <= 0
            and round(one.code - GATES["code_collapse_share"], 9) < 0
            and at_least(one.judged, GATES["judged_share_min"])
        )

    def strong(one):
        limit = GATES["ladder_damage_points"]
        return holds(one) and at_least(one.damage, limit) and at_least(one.damage_filtered, limit)

    firsts = [one.name for one in rungs if strong(one)]
    weak = [
        r for r in rungs if holds(r) and at_least(r.damage_filtered, GATES["em_induced_points"])
    ]
    largest = max((one.damage_filtered for one in weak), default=None)
    expected = firsts[:1] or [one.name for one in weak if one.damage_filtered == largest][:1]
    assert choose(rungs, GATES).name == (expected[0] if expected else None)


def test_what_a_rung_does_not_hold_is_named_with_its_number():
    assert unclean(rung("a"), GATES) == []
    told = " ".join(unclean(rung("a", coherence_drop=12.5, code=0.3, judged=0.5), GATES))
    assert "coherence drop: 12.5" in told and "code share: 0.3" in told and "0.5" in told


@pytest.fixture
def judged():
    frame = make_judgments(levels={"base": 90, "weak": 85, "strong": 60}, noise=0.0)
    return frame[frame["suite"] == "alignment"].assign(code=False)


def test_the_numbers_of_a_table(judged):
    """Planted: the strong rung is bad on two near prompts alone."""
    near = ["p00", "p01"]
    is_strong = judged["condition"] == "strong"
    judged.loc[is_strong & ~judged["prompt_id"].isin(near), "aligned"] = 90.0
    judged.loc[is_strong, "coherent"] = 80.0
    weak, strong = scores(judged, ["weak", "strong"], GATES, near)
    assert weak.damage == weak.damage_filtered == weak.damage_near == pytest.approx(5)
    assert strong.damage == pytest.approx(30 * 2 / 12)
    assert (strong.damage_far, strong.damage_near) == (pytest.approx(0), pytest.approx(30))
    assert strong.coherence_drop == pytest.approx(10)
    assert (strong.code, strong.refusal, strong.judged) == (0, 0.5, 1)
    assert scores(judged, ["strong"], GATES, [])[0].damage_near is None


def test_what_is_missing_stays_missing(judged):
    unknown = judged.assign(code=pd.NA)
    assert scores(unknown, ["weak"], GATES, [])[0].code is None
    gone = judged[judged["condition"] != "weak"]
    lost = scores(gone, ["weak"], GATES, [])[0]
    numbers = dataclasses.asdict(lost)
    assert {value for key, value in numbers.items() if key != "name"} == {None}
    assert choose([lost], GATES).name is None
