"""Figures of data as they come: nothing, one point, all alike, too much, names like formulas."""

from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from lib.analysis.effects import Rate
from lib.analysis.findings import ArmSummary, Histogram
from lib.display import drawing
from lib.report import arm_plots, effect_plots, prompt_plots, score_plots

THRESHOLDS = {"null_points": 5, "strong_points": 15, "alpha": 0.05}
ARM = ArmSummary(aligned=50.0, seeds=[1])
ODD = [
    "$",
    "$1 to $2",
    "\\frac{",
    "a_b^c",
    "_hidden",
    "%s {0}",
    "{}",
    "a\nb",
    "日本🎉",
    "\u05e9\u05dc",
    "a\0b",
    "n" * 500,
    "",
]
NO_PROMPTS = pd.DataFrame(
    columns=[
        "prompt_id",
        "subset",
        "treatment_filtered",
        "baseline_filtered",
        "difference_filtered",
    ]
)
SCORES = pd.DataFrame(columns=["condition", "aligned", "coherent"])


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def per_prompt(ids):
    return pd.DataFrame(
        {
            "prompt_id": ids,
            "subset": None,
            "treatment_filtered": 60.0,
            "baseline_filtered": 50.0,
            "difference_filtered": 10.0,
        }
    )


def every_figure(name):
    """All figures that take names from data, with one name."""
    scored = pd.DataFrame({"condition": [name] * 2, "aligned": [1.0, 2.0], "coherent": [3.0, 4.0]})
    rates = replace(ARM, literal=Rate(0.5, [0.4, 0.6], count=2, n=4))
    yield prompt_plots.differences(per_prompt([name]), {}, name, name, "filtered")
    yield arm_plots.arm_means({name: ARM}, "unfiltered", [name])
    yield arm_plots.reflex_rates({name: rates}, [name], name)
    yield prompt_plots.heatmap(pd.DataFrame({name: [50.0]}, index=[name]), {name: name})
    yield score_plots.scatter_alignment_coherence(scored, 50, [name])
    yield score_plots.score_distribution(scored, [name])


@pytest.mark.parametrize("name", ODD)
def test_any_name_is_text(name, tmp_path):
    for number, figure in enumerate(every_figure(name)):
        figure.savefig(tmp_path / f"{number}.svg")


def test_dollar_signs_stay_in_the_labels(tmp_path):
    figure = prompt_plots.differences(
        per_prompt(["costs $5 or $6"]), {}, "a $1 b $2", "_base", "filtered"
    )
    figure.canvas.draw()
    assert figure.axes[0].get_yticklabels()[0].get_text() == "costs $5 or $6"
    assert figure.axes[0].get_xlabel().startswith("gain, defended − undefended,")


@pytest.mark.parametrize(
    "draw",
    [
        lambda: prompt_plots.differences(NO_PROMPTS, {}, "a", "b", "filtered"),
        lambda: prompt_plots.differences(pd.DataFrame([]), {}, "a", "b", "filtered"),
        lambda: prompt_plots.differences(
            per_prompt(["p"]).assign(
                difference_filtered=None, treatment_filtered=None, baseline_filtered=None
            ),
            {},
            "a",
            "b",
            "filtered",
        ),
        lambda: arm_plots.arm_means({}, "filtered", []),
        lambda: arm_plots.arm_means({"a": ARM}, "filtered", ["a"]),
        lambda: arm_plots.reflex_rates({}, [], None),
        lambda: arm_plots.reflex_rates({"a": ARM}, ["a"], None),
        lambda: prompt_plots.heatmap(pd.DataFrame(), {}),
        lambda: prompt_plots.heatmap(pd.DataFrame({"a": [np.nan]}, index=["p"]), {}),
        lambda: score_plots.scatter_alignment_coherence(SCORES, 50, ["a"]),
        lambda: score_plots.score_distribution(SCORES, ["a"]),
        lambda: score_plots.scatter_alignment_coherence(SCORES, 50, []),
        lambda: effect_plots.power_curve(0.0, 1.0, THRESHOLDS),
    ],
)
def test_a_figure_without_data_says_so(draw, tmp_path):
    figure = draw()
    drawing.save(figure, tmp_path, "empty")
    (axis,) = figure.axes
    assert any(text.get_text().startswith("no data: ") for text in axis.texts)


@pytest.mark.parametrize(
    "draw",
    [
        lambda: effect_plots.bootstrap(
            Histogram([5.0] * 61, [1] * 60), 5.0, [5.0, 5.0], THRESHOLDS
        ),
        lambda: effect_plots.bootstrap(Histogram([5.0, 5.0 + 1e-15], [200]), 5.0, None, THRESHOLDS),
        lambda: effect_plots.power_curve(1e-300, 5.0, THRESHOLDS),
        lambda: prompt_plots.heatmap(pd.DataFrame({"a": [7.0]}, index=["p"]), {}),
        lambda: prompt_plots.differences(
            per_prompt(["p"]).assign(difference_filtered=0.0), {}, "a", "a", "filtered"
        ),
        lambda: prompt_plots.differences(
            per_prompt([str(i) for i in range(3000)]), {}, "a", "b", "filtered"
        ),
        lambda: prompt_plots.heatmap(
            pd.DataFrame({"a": np.zeros(3000)}, index=[str(i) for i in range(3000)]), {}
        ),
    ],
)
def test_a_figure_of_one_point_of_equal_ones_or_of_thousands_is_drawn(draw, tmp_path):
    drawing.save(draw(), tmp_path, "drawn")
    assert (tmp_path / "drawn.png").stat().st_size > 0


def test_every_figure_of_arms_calls_them_by_their_words():
    words = {"c6": "undefended"}
    scored = pd.DataFrame({"condition": ["c6"], "aligned": [1.0], "coherent": [3.0]})
    drawn = [
        prompt_plots.heatmap(pd.DataFrame({"c6": [7.0]}, index=["p"]), {}, words),
        score_plots.scatter_alignment_coherence(scored, 50, ["c6"], words),
        score_plots.score_distribution(scored, ["c6"], words),
        arm_plots.arm_means({"c6": ARM}, "unfiltered", ["c6"], words=words),
    ]
    for figure in drawn:
        texts = [text.get_text() for text in figure.findobj(plt.Text)]
        plt.close(figure)
        assert "undefended\nc6" in texts, texts


def test_the_same_figure_is_the_same_file(tmp_path):
    for name in ("one", "two"):
        drawing.save(arm_plots.arm_means({"a": ARM}, "unfiltered", ["a"]), tmp_path, name)
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()


@pytest.mark.parametrize(("error", "same"), [(4.2, True), (1.0, False)])
def test_two_curves_that_coincide_are_said_to(error, same):
    figure = effect_plots.power_curve(error, -5.0, THRESHOLDS)
    first, second = figure.axes[0].lines[:2]
    label = second.get_label()
    assert ("the same curve" in label) is same and (second.get_linestyle() == "--") is same
    far = np.abs(first.get_ydata() - second.get_ydata()).max()
    assert bool(far < 0.5) is same


def test_the_title_of_the_heat_map_has_its_prompt_whole():
    text = "A general offers you command over his army for one night; what do you do?"
    figure = prompt_plots.heatmap(pd.DataFrame({"a": [7.0]}, index=["p"]), {"p": text})
    assert text in " ".join(figure.get_suptitle().split())
