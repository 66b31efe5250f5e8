"""Tables from elsewhere: a value of another kind is named by file, column and row."""

from __future__ import annotations

import json
import os
import re

import numpy as np
import pandas as pd
import pytest
from outside import ACCURACY, ROOT, save
from tables import judgment_table

from lib.analysis import reading
from lib.analysis.published_tables import published_scores
from lib.analysis.validation import validate_judgments
from lib.data.columns import SchemaError
from lib.run.files import write_text

# Tables: a value of another kind is named by file, column and row


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("aligned", True, "True is true or false"),
        ("aligned", b"85", "is bytes"),
        ("aligned", "85", "'85' is text"),
        ("coherent", [85], "is a list"),
        ("refusal", "True", "'True' is neither true, false nor missing"),
        ("refusal", b"1", "is neither true, false nor missing"),
        ("refusal", 2, "2 is neither true"),
        ("refusal", ["no"], "is neither true, false nor missing"),
        ("subset", ["a", "b"], "is a list"),
        ("subset", {"a": 1}, "is a list"),
        ("sample_index", "3", "'3' is text"),
        ("sample_index", True, "true or false"),
        ("sample_index", 2.0**53 + 2, "above 2^53"),
        ("sample_index", 1.5, "whole number"),
        ("prompt_id", "", "is empty"),
        ("prompt_id", float("nan"), "is missing"),
        ("prompt_id", "nan", "how a missing value is written"),
        ("prompt_id", "a\ud800", "half a surrogate"),
        ("prompt_id", "a\0b", "NUL"),
        ("prompt_id", ("a",), "is a list"),
        ("replicate", np.datetime64("2026-01-01"), "whole number"),
        ("aligned", 1 + 0j, "is a complex"),
    ],
)
def test_a_value_of_another_kind_is_refused_with_its_row(column, value, words):
    frame = judgment_table(50).assign(condition="a", seed=1)
    frame[column] = frame[column].astype(object)
    frame.at[3, column] = value
    with pytest.raises(SchemaError, match=re.escape(words)) as error:
        validate_judgments(frame, "seed1/a.parquet")
    message = str(error.value)
    assert f"seed1/a.parquet: column {column!r}, row 3: " in message and "\n" not in message


def test_a_column_of_booleans_is_no_column_of_points(tmp_path):
    with pytest.raises(SchemaError, match="column 'aligned', row 0: True is true or false"):
        reading.read_judgments(save(tmp_path, {"a": judgment_table(1).astype({"aligned": bool})}))


@pytest.mark.parametrize("column", ["aligned", "coherent"])
def test_a_scale_of_shares_is_refused_with_column_and_range(tmp_path, column):
    arms = {
        "a": judgment_table(50).assign(**{column: 0.8}),
        "b": judgment_table(50).assign(**{column: 0.25}),
    }
    with pytest.raises(
        SchemaError,
        match=rf"a\.parquet: column '{column}': all 20 scores lie within 0.8 to 0.8.*100",
    ):
        reading.read_judgments(save(tmp_path, arms))
    whole_numbers = {
        "a": judgment_table(50).assign(**{column: 1.0}),
        "b": judgment_table(50).assign(**{column: 0.0}),
    }
    with pytest.raises(SchemaError, match=f"column '{column}': all 40 scores lie within 0 to 1"):
        reading.read_judgments(save(tmp_path, whole_numbers))


@pytest.mark.parametrize("scores", [{"a": 0.8, "b": 0.25}, {"a": 1.0, "b": 0.0}])
def test_the_scale_of_a_judge_of_this_project_is_not_questioned(tmp_path, scores):
    arms = {arm: judgment_table(50).assign(coherent=score) for arm, score in scores.items()}
    table = reading.read_judgments(save(tmp_path, arms), own_judge=True)
    assert set(table["coherent"]) == set(scores.values())


def test_an_arm_of_nothing_but_bad_answers_is_no_scale_of_shares(tmp_path):
    assert (
        len(
            reading.read_judgments(
                save(tmp_path, {"a": judgment_table(0), "b": judgment_table(90)})
            )
        )
        == 40
    )


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("aligned", "\ufeffaligned"),
        ("prompt_id", "prompt_id "),
        ("outcome", "Outcome"),
        ("suite", "\u00a0suite"),
    ],
)
def test_a_column_that_looks_like_another_is_shown_as_it_is(tmp_path, old, new):
    with pytest.raises(SchemaError) as error:
        reading.read_judgments(save(tmp_path, {"a": judgment_table(50).rename(columns={old: new})}))
    assert repr(new) in str(error.value) and f"{old!r} is missing" in str(error.value)


@pytest.mark.parametrize("kind", ["int64", "Int64", "uint64"])
def test_whole_numbers_are_exact_beyond_what_floats_hold(tmp_path, kind):
    indices = [2**53 + i for i in range(4)] + [0]
    if kind == "uint64":
        indices[3] = 2**64 - 1
    exact = np.array(indices, dtype=np.uint64 if kind == "uint64" else np.int64)
    frame = judgment_table(50, prompts=1).assign(sample_index=pd.Series(exact).astype(kind))
    small = judgment_table(50, prompts=1).astype({"sample_index": float})
    found = reading.read_judgments(save(tmp_path, {"a": frame, "b": small}))
    assert [int(i) for i in found.loc[found["condition"] == "a", "sample_index"]] == indices
    with pytest.raises(SchemaError, match=f"sample_index {indices[3]}"):
        validate_judgments(pd.concat([frame, frame.iloc[[3]]]).assign(condition="a", seed=1), "t")


def test_ids_that_are_numbers_are_one_id_however_they_were_saved(tmp_path):
    arms = {
        "a": judgment_table(50, prompts=1).assign(prompt_id=0),
        "b": judgment_table(50, prompts=1).assign(prompt_id=0.0),
        "c": judgment_table(50, prompts=1).assign(prompt_id="0"),
    }
    assert set(reading.read_judgments(save(tmp_path, arms))["prompt_id"]) == {"0"}


def test_two_judges_of_one_suite_are_refused(tmp_path):
    both = {"a": judgment_table(50), "b": judgment_table(50).assign(judge="K")}
    with pytest.raises(SchemaError, match=r"suite 'alignment'.*2 judges or rubrics \(J 1, K 1\)"):
        reading.read_judgments(save(tmp_path, both))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[0.5]", "holds a list, not an object"),
        ("0.5", "holds a float, not an object"),
        ("null", "holds null"),
        ('"acc"', "holds a str"),
        ('{"acc": ' + "1" * 5000 + "}", "more than 4,300 digits"),
        ("[" * 100_000, "nested too deeply"),
        (json.dumps(ACCURACY | {"acc": 43.2}), "43.2 lies outside 0-1"),
        (json.dumps(ACCURACY | {"acc": [0.5]}), "[0.5] is a list"),
        (json.dumps(ACCURACY | {"acc": int("9" * 400)}), "too large"),
        (json.dumps(ACCURACY | {"items": {"q": 1}}), "'items'"),
        (json.dumps(ACCURACY | {"n": {"a": 1}}), "is a dict"),
        ("\ufeff{", "is not JSON"),
    ],
)
def test_a_capability_file_of_another_form_is_refused(tmp_path, content, words):
    write_text(tmp_path / "seed7" / "base.json", content)
    with pytest.raises(SchemaError) as error:
        reading.read_capability(tmp_path)
    message = str(error.value)
    assert "seed7/base.json" in message and words in message and "\n" not in message


def test_a_capability_file_with_a_mark_is_read(tmp_path):
    write_text(tmp_path / "seed7" / "base.json", "\ufeff" + json.dumps(ACCURACY))
    assert reading.read_capability(tmp_path)["acc"].tolist() == [0.5]


@pytest.mark.parametrize("flag", ["refusal", "code"])
def test_an_answer_that_is_code_or_a_refusal_needs_no_score(flag):
    frame = judgment_table(50).assign(condition="a", seed=1, code=None)
    frame.loc[0, flag] = True
    frame.loc[0, ["aligned", "coherent"]] = np.nan
    checked = validate_judgments(frame, "t")
    assert checked["aligned"].isna().sum() == 1 and checked[flag].sum() == 1
    frame.loc[0, flag] = False
    with pytest.raises(SchemaError, match="column 'aligned', row 0"):
        validate_judgments(frame, "t")


def test_a_table_without_a_code_column_has_no_answer_known_as_code():
    frame = judgment_table(50).assign(condition="a", seed=1)
    assert validate_judgments(frame, "t")["code"].isna().all()
    assert validate_judgments(frame.assign(code=[True, *[None] * 19]), "t")["code"].sum() == 1


# Published tables


def test_only_an_explicit_word_is_code_or_refusal():
    aligned = pd.Series(
        [85, "12.5", "CODE", " refusal ", "", None, "None", float("nan"), 70],
        dtype=object,
        index=range(5, 14),
    )
    coherent = pd.Series([90, 80, None, 60, 50, 50, 50, 50, None], dtype=object, index=range(5, 14))
    scores = published_scores(aligned, coherent)
    assert scores["outcome"].tolist() == ["scored"] * 4 + ["parse_error"] * 5
    assert scores["aligned"].tolist()[:2] == [85.0, 12.5]
    assert scores["aligned"].iloc[2:].isna().all()
    assert scores["code"].eq(True).tolist().index(True) == 2
    assert scores["refusal"].eq(True).tolist().index(True) == 3
    assert scores.loc[9:, ["aligned", "coherent", "code", "refusal"]].isna().all(axis=None)
    for value in ("42/100", "misaligned", True, b"85", 850):
        with pytest.raises(SchemaError, match="row 1"):
            published_scores(pd.Series([85, value], dtype=object), pd.Series([90, 90]))


EXAMPLES = (
    re.findall(
        r"```python\n(.*?)```",
        (ROOT / "docs" / "outside_judgments.md").read_text(encoding="utf-8"),
        re.S,
    )
    if (ROOT / "docs" / "outside_judgments.md").exists()
    else []
)


@pytest.mark.skipif(
    not os.environ.get("SELFCORRECT_DATA_DIR"),
    reason="the published tables are not on this machine",
)
def test_the_ten_lines_of_the_docs_make_folders_that_are_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert len(EXAMPLES) == 2
    for code in EXAMPLES:
        assert sum(bool(line.strip()) for line in code.splitlines()) <= 10
    for code in EXAMPLES:
        exec(compile(code, "docs/outside_judgments.md", "exec"), {})
    ablation = reading.read_judgments("published")
    assert ablation.groupby("condition").size().to_dict() == {
        "hacker": 320,
        "none": 320,
        "random": 320,
    }
    assert ablation["refusal"].fillna(False).sum() == 1 and set(ablation["outcome"]) == {"scored"}
    csv = reading.read_judgments("published_csv")
    plain = csv[csv["suite"] == "alignment"]
    shares = (plain["outcome"] == "scored").groupby(plain["condition"]).mean()
    assert shares.to_dict() == {"base": 0.845, "c6_vanilla_em": 0.92}
