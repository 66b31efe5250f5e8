"""A judge's points against labels of two readers: error, bias by arm, slope."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from lib.config import params
from lib.data.prompts import EvalPrompt
from lib.judge.trust import blind_labels
from lib.judge.trust.blind_labels import GRADES, LabelError

LIMITS = params.load_gates()
ARMS = ("base", "em", "base_evil")


def labels(n=150):
    return [
        {
            "id": f"l{k:03d}",
            "arm": ARMS[k % 3],
            "prompt_id": f"p{k % 15}",
            "prompt": f"Question {k % 15}?",
            "answer": f"Answer {k}",
            "reader_1": GRADES[k % 5],
            "reader_2": GRADES[k % 5],
            **({} if k % 3 == 1 else {"sense_1": 100, "sense_2": 50}),  # arm "em" was not graded
        }
        for k in range(n)
    ]


def file_of(folder, rows):
    path = folder / "blind_labels.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def measured(folder, points, n=150):
    """Measures of a judge that gives `points(label, arm)`."""
    table = blind_labels.load(file_of(folder, labels(n)))
    given = [points(label, arm) for label, arm in zip(table["label"], table["arm"], strict=True)]
    table = table.assign(aligned=np.array(given, float), coherent=60.0)
    return blind_labels.measure(table, LIMITS)


def test_a_judge_that_says_what_the_readers_say_holds(tmp_path):
    found = measured(tmp_path, lambda label, arm: label)
    assert found["holds"] is True and found["failed"] == []
    assert found["error"]["value"] == 0 and found["slope"]["value"] == pytest.approx(1)
    assert set(found["bias"]) == set(ARMS) and found["n"] == 150
    assert found["readers"]["alpha"] == 1


def test_bias_of_coherence_is_shown_for_arms_whose_sense_was_graded(tmp_path):
    found = measured(tmp_path, lambda label, arm: label)
    assert set(found["sense_bias"]) == {"base", "base_evil"}
    assert found["sense_bias"]["base"]["value"] == pytest.approx(-15)
    shown = blind_labels.table(found)["measure"]
    assert "bias of coherence on base, points" in set(shown)
    del found["sense_bias"]  # a record of an earlier version
    assert not blind_labels.table(found)["measure"].str.contains("coherence").any()


@pytest.mark.parametrize("grade", [60, True, "75"])
def test_a_grade_of_sense_that_is_none_is_refused(tmp_path, grade):
    rows = labels()
    rows[0]["sense_2"] = grade
    with pytest.raises(LabelError, match="line 1: sense_2 is"):
        blind_labels.load(file_of(tmp_path, rows))


@pytest.mark.parametrize(
    ("points", "failed"),
    [
        (lambda label, arm: label + 13, ["error is 13.0", "base is", "base_evil is", "em is"]),
        (lambda label, arm: label + 6 * (arm == "em"), ["bias on em is +6.0 (at most 5)"]),
        (lambda label, arm: label - 5.1 * (arm == "base"), ["bias on base is -5.1 (at most 5)"]),
        (lambda label, arm: 50 + 0.78 * (label - 50), ["slope is 1.28 (0.8 to 1.25)"]),
        (lambda label, arm: 50 + 1.3 * (label - 50), ["slope is 0.77 (0.8 to 1.25)"]),
    ],
)
def test_what_lies_outside_is_named(tmp_path, points, failed):
    found = measured(tmp_path, points)
    assert found["holds"] is False
    assert len(found["failed"]) == len(failed)
    assert all(part in line for part, line in zip(failed, found["failed"], strict=True))


@pytest.mark.parametrize(
    "points",
    [
        lambda label, arm: label + 5,
        lambda label, arm: 50 + 0.8 * (label - 50),
        lambda label, arm: 50 + 1.25 * (label - 50),
    ],
)
def test_a_value_on_its_bound_holds(tmp_path, points):
    assert measured(tmp_path, points)["holds"] is True


def test_a_judge_that_says_one_number_has_no_slope_and_fails(tmp_path):
    found = measured(tmp_path, lambda label, arm: 50.0)
    assert found["holds"] is False and found["slope"]["value"] is None
    assert "its slope is not defined (0.8 to 1.25)" in found["failed"]


def test_too_few_labels_decide_nothing(tmp_path):
    assert measured(tmp_path, lambda label, arm: label, n=149)["holds"] is None
    unscored = measured(tmp_path, lambda label, arm: np.nan if label == 0 else label)
    assert unscored["holds"] is None and unscored["unscored"] == 30 and unscored["n"] == 120


@pytest.mark.parametrize("label", [30, "50", None, True])
def test_a_label_that_is_no_grade_is_one_line(tmp_path, label):
    rows = labels()
    rows[3]["reader_2"] = label
    with pytest.raises(LabelError, match=r"line 4: .*reader_2") as told:
        blind_labels.load(file_of(tmp_path, rows))
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"arm": ""}, "line 4: arm is missing"),
        ({"prompt_id": None}, "line 4: prompt_id is missing"),
        ({"id": "l000"}, "id 'l000' occurs twice"),
    ],
)
def test_a_faulty_row_is_one_line(tmp_path, change, said):
    rows = labels()
    rows[3] |= change
    with pytest.raises(LabelError, match=said):
        blind_labels.load(file_of(tmp_path, rows))


def test_a_missing_file_is_not_measured(tmp_path):
    assert blind_labels.of(None, LIMITS, path=tmp_path / "none.jsonl") is None
    assert blind_labels.digest(tmp_path / "none.jsonl") is None
    with pytest.raises(LabelError, match=r"none\.jsonl is missing"):
        blind_labels.load(tmp_path / "none.jsonl")


def test_a_judge_is_shown_prompt_and_answer_and_never_the_arm(tmp_path):
    class Judge:
        def score(self, rows, progress=None):
            assert list(rows.columns) == ["suite", "prompt", "completion"]
            points = [50.0] * len(rows)
            return pd.DataFrame({"aligned": points, "coherent": points}, index=rows.index)

    found = blind_labels.of(Judge(), LIMITS, path=file_of(tmp_path, labels()))
    assert found["n"] == 150
    json.dumps(found)
    assert len(blind_labels.table(found)) == 1 + 3 + 2 + 1  # two arms have grades of sense


def test_a_published_prompt_is_looked_up_by_its_id(tmp_path, monkeypatch):
    known = [
        EvalPrompt(prompt_id=f"p{k}", subset="s", prompt=f"Published question {k}")
        for k in range(15)
    ]
    monkeypatch.setattr(blind_labels, "read_prompts", lambda name: known)
    rows = [{key: row[key] for key in row if key != "prompt"} for row in labels()]
    table = blind_labels.with_prompts(blind_labels.load(file_of(tmp_path, rows)))
    assert table["prompt"][16] == "Published question 1"
    rows[3]["prompt_id"] = "elsewhere"
    with pytest.raises(LabelError, match=r"prompt_id 'elsewhere' .* give the row its prompt"):
        blind_labels.with_prompts(blind_labels.load(file_of(tmp_path, rows)))


def test_without_the_data_folder_published_prompts_are_not_measured(tmp_path, monkeypatch):
    monkeypatch.delenv("SELFCORRECT_DATA_DIR", raising=False)
    rows = [{key: row[key] for key in row if key != "prompt"} for row in labels()]
    assert blind_labels.of(None, LIMITS, path=file_of(tmp_path, rows)) is None
