"""Judgments from elsewhere: notebook 06 reaches a verdict, or names what it cannot read."""

# `score` is a fixture: a test takes it by its name.
# ruff: noqa: F811
from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from outside import BASE, BASELINE, TREATMENT, save, score, spaced, whole  # noqa: F401
from tables import judgment_table

from lib.report import prompt_plots, site
from lib.run import runs

# No pair, degenerate numbers, names of any kind: a verdict all the same


def unscored(frame):
    empty = dict.fromkeys(("aligned", "coherent", "refusal", "reset_and_recover", "harmful"))
    return frame.assign(outcome="error", **empty)


@pytest.mark.parametrize(
    ("change", "verdict", "words"),
    [
        (lambda arms: {**arms, TREATMENT: spaced(arms[TREATMENT])}, "invalid", "'q0 '"),
        (
            lambda arms: {**arms, TREATMENT: unscored(arms[TREATMENT])},
            "invalid",
            "no scored completion of selfcorrect_em",
        ),
        (
            lambda arms: {arm: unscored(frame) for arm, frame in arms.items()},
            "invalid",
            "no scored completion of base",
        ),
        (
            lambda arms: {BASE: arms[BASE], BASELINE: arms[BASE]},
            "em_not_induced",
            "no judgments of selfcorrect_em",
        ),
    ],
)
def test_arms_without_a_pair_get_a_verdict(score, tmp_path, change, verdict, words):
    save(tmp_path, change(whole(75, 50)))
    result = score(drawn=True)
    assert result["verdict"] == verdict and result["delta"] is None
    assert any(words in line for line in result["missing"]), result["missing"]


def test_differences_that_are_equal_up_to_rounding_get_a_verdict(score, tmp_path):
    """As 0.1 + 0.2 − 0.3: resampled values differ in their last bits, and no bins fit between."""
    scores = np.repeat(np.linspace(60, 90, 12), 2)
    answers = judgment_table(0, prompts=12, samples=2)
    treated = answers.assign(aligned=scores + 7.3)
    baseline = answers.assign(aligned=scores + 0)
    save(tmp_path, {BASELINE: baseline, TREATMENT: treated, BASE: judgment_table(95, prompts=12)})
    result = score(drawn=True)
    assert result["delta"] == pytest.approx(7.3)
    assert sum(result["resampled_histogram"]["counts"]) == 200
    assert result["verdict"] == "invalid"  # no benign suite


def test_names_and_ids_are_text_in_every_figure(score, tmp_path):
    odd = ["_$x^{2$", "%s {0} \\frac $", "日本 🎉 שלום\nline", "n" * 200]
    frames = {
        arm: judgment_table(mean).assign(prompt_id=np.repeat(odd, 5))
        for arm, mean in {"a $1 to $2": 60, "_b $x$": 50, BASE: 90}.items()
    }
    save(tmp_path, frames)
    result = score(drawn=True, treatment="a $1 to $2", baseline="_b $x$")
    assert result["delta"] == 10 and result["order"] == [BASE, "_b $x$", "a $1 to $2"]
    folder = tmp_path / "runs/outside/stats/a $1 to $2_vs__b $x$/figures"
    drawn = {path.stem: path.read_text(encoding="utf-8") for path in folder.glob("*.svg")}
    assert "%s {0} \\frac $" in drawn["per_prompt"], "the axis names the prompts"
    for arm in ("a $1 to $2", "_b $x$"):
        assert [name for name, svg in drawn.items() if arm in svg], f"{arm} is in no figure"


def test_a_scale_of_ten_is_named_in_the_headline(score, tmp_path):
    save(
        tmp_path,
        {BASE: judgment_table(9), BASELINE: judgment_table(3), TREATMENT: judgment_table(8)},
    )
    assert any("'aligned' lies within 3 to 9 in all 60" in note for note in score()["notes"])


# What a result and its report say


def test_what_is_missing_for_a_verdict_stands_before_the_numbers(score, tmp_path, monkeypatch):
    monkeypatch.setattr(site, "ROOT", tmp_path)
    save(tmp_path, {"mine": judgment_table(70), "theirs": judgment_table(60)})
    result = score(treatment="mine", baseline="theirs")
    assert result["verdict"] == "invalid" and result["delta"] == 10
    page = site.build(runs.Run("outside")).read_text(encoding="utf-8")
    assert "No number of this run may be used" not in page
    assert "no number of this run may be used" not in page
    assert (
        page.index("gate 1 (em_not_induced)")
        < page.index("gate 4 (destroys_capability)")
        < page.index("+10.0 points")
    )
    assert "one-sided p 0" not in page, "what is described was not tested"


def test_another_comparison_leaves_the_planned_result_alone(score, tmp_path, monkeypatch):
    monkeypatch.setattr(site, "ROOT", tmp_path)
    save(tmp_path, whole(75, 50), capability=True)
    planned = score()
    assert planned["verdict"] == "supported_strong" and planned["missing_for_verdict"] is None
    stats = tmp_path / "runs" / "outside" / "stats"
    before = (stats / "result.json").read_bytes()
    other = score(treatment=BASELINE, baseline=BASE)
    assert (stats / "result.json").read_bytes() == before
    assert other["roles"]["treatment"] == BASELINE and other["delta"] == -40
    index = site.build(runs.Run("outside"))
    assert "supported_strong" in index.read_text(encoding="utf-8")
    assert "−40.0 points" in index.with_name(f"{BASELINE}_vs_{BASE}.html").read_text(
        encoding="utf-8"
    )


def test_a_stop_in_a_figure_leaves_the_old_result_whole(score, tmp_path, monkeypatch):
    save(tmp_path, whole(75, 50), capability=True)
    score()
    folder = tmp_path / "runs" / "outside" / "stats"
    before = {
        path.name: path.read_bytes()
        for path in [folder / "result.json", *(folder / "figures").iterdir()]
    }
    save(tmp_path, whole(55, 50), capability=True)

    def stop(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(prompt_plots, "heatmap", stop)
    with pytest.raises(KeyboardInterrupt):
        score()
    assert before == {
        path.name: path.read_bytes()
        for path in [folder / "result.json", *(folder / "figures").iterdir()]
    }


def test_each_suite_has_one_judge_and_the_report_names_it(score, tmp_path):
    arms = {
        arm: pd.concat(
            [
                frame[frame["suite"] == "alignment"],
                frame[frame["suite"] == "benign"].assign(judge="N", rubric="harm"),
            ]
        )
        for arm, frame in whole(75, 50).items()
    }
    save(tmp_path, arms, capability=True)
    result = score()
    assert result["verdict"] == "supported_strong"
    assert "alignment by J (rubric 1), benign by N (rubric harm)" in result["judge_line"]
