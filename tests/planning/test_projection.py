"""Projections: each number has a basis, and what nobody measured is not known instead of 0."""

from __future__ import annotations

import pytest

from lib.config.params import ROOT
from lib.planning import __main__ as command
from lib.planning import measured, projection
from lib.planning.planned_run import named_runs
from lib.planning.projection import Amount, Asked
from lib.report.stage_states import FINISHED, WAITING, StageState

PAGE = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
SUITES = {"alignment": Asked(1000, 512), "benign": Asked(500, 512)}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SELFCORRECT_RUNS_DIR", str(tmp_path))


def waiting(one, *finished: str) -> list[StageState]:
    return [
        StageState(name, FINISHED if name in finished else WAITING) for name in one.plan.stages()
    ]


def named(profile: str):
    (one,) = named_runs({"PROFILE": profile, "OVERRIDES": '{"ladder": null}'})
    return one


def test_every_rate_stands_on_the_page_that_it_is_said_to_come_from():
    demo = " · ".join(f"0{k}: {s}" for k, s in enumerate(measured.NOTEBOOKS["demo"].values(), 1))
    assert demo in PAGE
    gpu = measured.NOTEBOOKS["smollm2_gpu"]
    for notebook, text in (
        ("01_build_traces", "01 before them: {} s"),
        ("02_phase1_sft", "3 epochs): {} s"),
        ("03_phase2_em", "6,000 rows): {} s"),
        ("04_sample_and_capability", "H100 | {} s."),
        ("06_stats_and_gates", "06: {} s"),
    ):
        assert text.format(gpu[notebook]) in PAGE, notebook
    assert f"(6,000 rows in {measured.MINUTES_PER_ARM} min)" in PAGE and measured.ROWS == 6000
    assert f"{measured.TOKENS_PER_SECOND:,} tokens/s" in PAGE
    assert f"without the {measured.START_SECONDS} s of start-up" in PAGE


def test_what_was_never_measured_is_not_known():
    one = named("qwen15b")
    times = projection.notebooks(one, waiting(one), SUITES, gpus_here=0)
    assert {time.seconds.value for time in times} == {None} and len(times) == 6
    assert projection.disk(one).value is None
    assert projection.dollars(one, waiting(one), SUITES) == {}, "no judge of it is paid"


def test_a_finished_stage_takes_nothing():
    one = named("demo")
    (stage,) = [name for name in one.plan.stages() if name.startswith("02")]
    times = projection.notebooks(one, waiting(one, stage), SUITES, gpus_here=0)
    by_name = {time.notebook: time.seconds.value for time in times}
    assert "02_phase1_sft" not in by_name and by_name["03_phase2_em"] == 176


def test_full_scale_training_and_sampling_are_projected_from_the_benchmarks():
    one = named("qwen7b")
    times = {t.notebook: t for t in projection.notebooks(one, waiting(one), SUITES, gpus_here=0)}
    assert times["03_phase2_em"].seconds.value == pytest.approx(4 * 1.9 * 60)
    assert times["04_sample_and_capability"].seconds.value == pytest.approx(
        1500 * 512 / 24_271 + 2 * 101
    )
    assert times["02_phase1_sft"].seconds.value is None
    assert times["03_phase2_em"].gpu and not times["05_judge"].gpu


def test_a_paid_judge_is_projected_and_an_unknown_share_is_said():
    one = named("qwen7b")
    dollars = projection.dollars(one, waiting(one), SUITES)
    assert dollars["traces"].value is None and "notebook 01" in dollars["traces"].basis
    verdict = dollars["verdict"]
    # Half of the price: in batches. At least the answers alone, at 2 dollars a million tokens.
    assert verdict.value > 0.5 * 1.05 * 1500 * 512 * 2 / 1e6
    assert "1,575 requests in batches" in verdict.basis
    assert projection.dollars(one, waiting(one), None)["verdict"].value is None
    done = projection.dollars(one, waiting(one, "01_build_traces", "05_judge"), SUITES)
    assert done == {}


def test_the_checklist_has_the_dollars_of_the_plan():
    one = named("qwen7b")
    suites = projection.asked(one)
    if suites is None:
        pytest.skip("an eval set is missing; set SELFCORRECT_DATA_DIR")
    verdict = projection.dollars(one, waiting(one), suites)["verdict"]
    calls, of_prices = verdict.basis.split(" ")[0], verdict.basis.split("prices of ")[1][:10]
    page = (ROOT / "docs" / "howto" / "full_scale.md").read_text(encoding="utf-8")
    assert f"{calls} calls and ${verdict.value:.0f}" in page and f"prices of {of_prices}" in page


@pytest.mark.parametrize(
    ("amounts", "total"),
    [
        ([], (None, 0)),
        ([Amount(None, "")], (None, 1)),
        ([Amount(2.0, ""), Amount(None, ""), Amount(0.5, "")], (2.5, 1)),
    ],
)
def test_a_sum_counts_what_is_not_known(amounts, total):
    assert projection.total(amounts) == total


def test_the_plan_names_every_stage_and_never_shows_an_unknown_as_zero(monkeypatch):
    one = named("qwen7b")
    monkeypatch.setattr(projection, "asked", lambda _: SUITES)
    text = "\n".join(command.lines([one], n_gpus=0))
    for stage in one.plan.stages():
        assert stage in text
    assert "02_phase1_sft: not known (never measured for this profile)" in text
    assert "GPU-hours: about" in text and "2 notebooks of which it is not known" in text
    assert "disk: not known" in text and "$0.00" not in text
