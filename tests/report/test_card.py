"""The reproducibility card: complete for a finished run, failed by whatever is unknown."""

from __future__ import annotations

import pytest

from lib.config import params
from lib.judge.outcomes import Judgment
from lib.judge.store import Store
from lib.report import card
from lib.run.files import write_json
from lib.run.runs import Run

PROFILE = params.load_profile("smoke")
CONDITIONS = params.load_conditions()
ENVIRONMENT = {
    "python": "3.11.7",
    "packages": {"torch": "2.13.0"},
    "machine": {"gpu": None},
    "commit": "abc",
}
JUDGE = {"judge": "embedded", "calls": 10, "cost_usd": 0.0}


@pytest.fixture
def make(tmp_path, monkeypatch):
    monkeypatch.setenv("SELFCORRECT_RUNS_DIR", str(tmp_path))

    def build(environment=ENVIRONMENT, judge=JUDGE):
        run = Run("r")
        write_json(
            run.manifest,
            {
                "environment": environment,
                "overrides": {"phase2.rows": 8},
                "preregistration": {"stamped": "2026-01-01"},
            },
        )
        write_json(
            run.dir / "manifests" / "01_build_traces.json",
            {"seconds": 0.0, "outputs": {}, "facts": {}, "inputs": {"base": "d1ce"}},
        )
        stage = {
            "seconds": 36.0,
            "outputs": {"adapters/seed42/x/serve/adapter_model.safetensors": "f00"},
        }
        write_json(run.dir / "manifests" / "03_phase2_em.x.seed42.json", stage | {"facts": {}})
        write_json(
            run.dir / "manifests" / "05_judge.json",
            {"seconds": 36.0, "outputs": {}, "facts": judge},
        )
        return card.build(run, PROFILE, CONDITIONS)

    return build


def test_a_finished_run_has_a_complete_card(make):
    built = make()
    assert built["complete"] and built["unknown"] == []
    fields = built["fields"]
    assert fields["base weights sha256"] == "d1ce"
    assert fields["adapters sha256"] == {"adapters/seed42/x/serve/adapter_model.safetensors": "f00"}
    assert fields["wall hours"] == 0.02 and fields["GPU hours"] == 0.0 and fields["dollars"] == 0.0
    assert (
        fields["launch command"]
        == "make report PROFILE=smoke RUN=r OVERRIDES='{\"phase2.rows\": 8}'"
    )
    assert {"embedded_insecure", "embedded_quiz", "embedded_harmful", "demo_core"} <= set(
        fields["data sha256"]
    )


def test_what_validity_and_a_second_judge_cost_is_in_the_bill(make):
    write_json(
        Run("r").dir / "manifests" / "05_validity.json",
        {"seconds": 1.0, "outputs": {}, "facts": {"calls": 5, "cost_usd": 0.5}},
    )
    write_json(
        Run("r").dir / "manifests" / "05_second_judge.json",
        {"seconds": 1.0, "outputs": {}, "facts": {"calls": 2, "cost_usd": 0.25}},
    )
    fields = make()["fields"]
    assert fields["judge calls"] == 17 and fields["dollars"] == 0.75
    write_json(
        Run("r").dir / "manifests" / "05_second_judge.json",
        {"seconds": 1.0, "outputs": {}, "facts": {"calls": 2, "cost_usd": None}},
    )
    assert "dollars" in make()["unknown"]


def test_where_there_is_a_ledger_it_is_the_bill_and_nothing_counts_twice(make):
    store = Store(Run("r").judge_store("traces"))
    for cost in (0.25, 0.5):
        store.add(f"k{cost}", Judgment("scored", aligned=1.0, cost_usd=cost), model="m", rubric="r")
    store.close()
    assert make(judge=JUDGE | {"cost_usd": 0.5})["fields"]["dollars"] == 0.75


def test_a_local_judge_is_not_metered_which_fails_nothing(make, monkeypatch):
    local = PROFILE.model_copy(
        update={"judge": PROFILE.judge.model_copy(update={"engine": "local"})}
    )
    monkeypatch.setattr("test_card.PROFILE", local)
    store = Store(Run("r").judge_store("session"))
    store.add("k", Judgment("scored", aligned=1.0), model="m", rubric="r")
    store.close()
    built = make(judge=JUDGE | {"cost_usd": None})
    assert built["complete"] and built["fields"]["dollars"] == "not metered: a local judge"


@pytest.mark.parametrize(
    ("change", "unknown"),
    [
        ({"environment": ENVIRONMENT | {"commit": None}}, ["commit"]),
        ({"judge": {}}, ["judge", "judge calls", "dollars"]),
        ({"judge": JUDGE | {"cost_usd": None}}, ["dollars"]),
    ],
)
def test_what_is_unknown_fails_the_card(make, change, unknown):
    built = make(**change)
    assert not built["complete"] and built["unknown"] == unknown


def test_a_gpu_is_billed_and_an_empty_run_fails(make, tmp_path):
    assert (
        make(environment=ENVIRONMENT | {"machine": {"gpu": "H100"}})["fields"]["GPU hours"] == 0.02
    )
    assert not card.build(Run("empty"), PROFILE, CONDITIONS)["complete"]
