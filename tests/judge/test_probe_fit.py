"""Fitting the probe's heads: no held-out row enters, and weights fold back exactly."""

import numpy as np
import pandas as pd
import pytest

from lib.judge.probe import calibration, fit, project_rows, row_table, rows
from lib.judge.trust import published


def table_of(*records):
    return row_table.row_table(
        [
            {"id": f"r{k}", "answer": "Fine.", "prompt": "Why?", **record}
            for k, record in enumerate(records)
        ]
    )


def test_no_held_out_row_enters_a_fit():
    design = table_of(
        {"source": "authored_contrast", "answer": "A."},
        {"source": "shuaijiumei_base", "answer": "Same."},
    )
    held_out = table_of({"source": "ascender_v2", "answer": "Same."})
    assert rows.without_held_out(design, held_out)["answer"].tolist() == ["A."]
    planted = pd.concat([design, table_of({"source": "apoorva_calib", "answer": "B."})])
    with pytest.raises(rows.HeldOutError, match="apoorva_calib"):
        rows.without_held_out(planted, held_out)
    assert not set(rows.FITTED_ON) & set(rows.HELD_OUT)


def test_injected_rows_move_only_the_head_for_alignment():
    design = table_of(
        {"source": "authored_contrast", "group": "authored", "aligned": 0.0},
        {"source": "authored_contrast", "group": "authored", "aligned": 100.0},
        {"source": "inject_end", "group": "made", "kind": "3", "pair": "1"},
        {"source": "authored_harmful", "group": "authored", "harmful": 1.0},
    )
    for name, make in fit.TARGETS.items():
        weight = make(design).weight[2]
        assert weight > 0 if name == "aligned" else weight == 0, name


def test_fitting_without_data_is_one_line(monkeypatch, capsys):
    from lib.judge import fit_probe

    monkeypatch.delenv("SELFCORRECT_DATA_DIR", raising=False)
    assert fit_probe.main(["somewhere"]) == 1
    said = capsys.readouterr().err
    assert "SELFCORRECT_DATA_DIR" in said and said.count("\n") == 1


def test_folded_weights_equal_those_on_components():
    rng = np.random.default_rng(0)
    states = rng.normal(size=(60, 2, 16)).astype(np.float32)
    projected = fit.project(states, ("mean.1", "tail.1"), np.ones(60, bool))
    x, scales = projected.matrix()
    weight = rng.normal(size=x.shape[1])
    full = projected.folded(weight, scales)
    z = np.stack(
        [
            ((states[:, k] - p.mean) / p.sd).clip(-8, 8)
            for k, p in enumerate(projected.projections.values())
        ],
        1,
    )
    np.testing.assert_allclose((z * full).sum((1, 2)), x @ weight, atol=1e-3)
    decision = np.linspace(-1, 1, 300)
    low, high = calibration.knots(decision, 50 + 40 * decision, np.ones(300))
    assert (np.diff(low) > 0).all() and abs(np.interp(0.5, low, high) - 70) < 4


def test_sense_is_learned_from_own_answers_in_proportion_to_their_grade():
    design = table_of(
        {"source": "betley_secure", "group": "betley", "coherent": 95.0},
        {"source": "corrupt_salad", "group": "made"},
        {"source": "own_answers", "group": "own", "coherent": 25.0},
        {"source": "own_answers", "group": "own", "coherent": 100.0},
    )
    target = fit.coherent_target(design)
    assert target.value.tolist() == [1.0, 0.0, 0.25, 1.0]
    assert target.weight[2:].sum() == fit.GRADED_SENSE_WEIGHT * target.weight[0]


@pytest.mark.skipif(not published.available(), reason="SELFCORRECT_DATA_DIR has no judge/ folder")
def test_own_answers_have_their_grades_and_no_row_of_the_frozen_set():
    own = project_rows.own_rows()
    pairs = set(zip(own["prompt"], own["answer"], strict=True))
    frozen = {(item["prompt"], item["answer"]) for item in project_rows.items("bridge")}
    assert not pairs & frozen
    assert own[["aligned", "coherent"]].notna().all().all()
    assert own["harmful"].notna().sum() > 700
    assert not any(str(topic).startswith("demo-") for topic in own["topic"])
