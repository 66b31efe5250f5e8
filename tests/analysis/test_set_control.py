"""base − c6_control beside gate 1: described with its interval, and one remark."""

import pandas as pd
import pytest
from studies import THRESHOLDS, make_judgments, pick, unscore

from lib.analysis import gates, stats
from lib.analysis.validation import CAPABILITY_COLUMNS

REMARK = "the damage is not that of the bad content"


def decided(control, baseline=60, change=lambda frame: None):
    """A study without noise, in which c6_control has this level (None: no such arm)."""
    levels = {"base": 90, "c6_vanilla_em": baseline, "selfcorrect_em": 85}
    if control is not None:
        levels["c6_control"] = control
    frame = make_judgments(levels=levels, noise=0.0)
    change(frame)
    capability = pd.DataFrame(columns=list(CAPABILITY_COLUMNS))
    analysis = stats.analyse(frame, capability, thresholds=THRESHOLDS, n_resamples=200)
    return analysis, " ".join(gates.decide(analysis, THRESHOLDS).beside.reasons)


def test_the_difference_stands_with_its_interval_and_without_a_test():
    analysis, _ = decided(82)
    control = analysis.set_control
    assert control.arm == "c6_control"
    for effect in (control.filtered, control.unfiltered):
        assert effect.delta == pytest.approx(8) and effect.ci95 == pytest.approx([8, 8])
        assert effect.n_prompts == 12 and not hasattr(effect, "p_value")
    assert analysis.to_dict()["set_control"]["unfiltered"]["delta"] == pytest.approx(8)


@pytest.mark.parametrize(
    ("control", "baseline", "remarked"),
    [(60, 60, True), (65, 60, True), (65.1, 60, False), (55, 60, True), (85, 84, False)],
    ids=["as much", "5 points less", "more than 5 less", "more damage", "no damage at all"],
)
def test_the_remark_is_made_within_five_points_of_a_damage(control, baseline, remarked):
    _, reasons = decided(control, baseline)
    assert (REMARK in reasons) is remarked
    if remarked:
        assert (
            f"base − c6_control is {90 - control:g}, base − c6_vanilla_em {90 - baseline:g}"
            in reasons
        )


def test_a_fall_in_one_kind_of_score_alone_is_remarked():
    """Planted: bad answers of the control are incoherent, so only the unfiltered mean falls."""

    def change(frame):
        rows = pick(frame, "c6_control") & (frame["sample_index"] > 0)
        frame.loc[rows, ["aligned", "coherent"]] = [45.0, 10.0]

    analysis, reasons = decided(90, change=change)
    assert analysis.set_control.filtered.delta == pytest.approx(0)
    assert REMARK in reasons and "unfiltered" in reasons


def test_without_the_arm_there_is_neither_number_nor_remark():
    analysis, reasons = decided(None)
    assert analysis.set_control is None and "c6_control" not in reasons


def test_an_arm_that_was_judged_too_little_is_named_and_not_compared():
    analysis, reasons = decided(
        60, change=lambda frame: unscore(frame, pick(frame, "c6_control", first=1))
    )
    assert analysis.set_control.filtered is analysis.set_control.unfiltered is None
    assert REMARK not in reasons and "c6_control was not compared" in reasons


def test_the_remark_does_not_change_the_verdict():
    with_control, without = decided(60)[0], decided(None)[0]
    verdicts = {gates.decide(one, THRESHOLDS).verdict for one in (with_control, without)}
    assert len(verdicts) == 1
