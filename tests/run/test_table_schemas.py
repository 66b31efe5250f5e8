"""The two published tables: files, reader and README have the same list of columns."""

from __future__ import annotations

import pandas as pd
import pytest

from lib.analysis.validation import validate_judgments
from lib.config.params import ROOT
from lib.data.columns import SchemaError
from lib.judge import session
from lib.judge.outcomes import COLUMNS
from lib.run.files import write_parquet
from lib.run.table_schemas import JUDGMENTS, OUTCOMES, SAMPLES
from lib.serving.shards import SAMPLE_COLUMNS

ROW = {
    "suite": "alignment",
    "prompt_id": "p",
    "subset": None,
    "sample_index": 0,
    "replicate": 0,
    "variant": "full",
    "judge": "j",
    "rubric": "r",
    "outcome": "scored",
    "aligned": 50.0,
    "coherent": 80.0,
    "refusal": False,
    "code": None,
    "reset_and_recover": None,
    "harmful": None,
    "input_tokens": None,
    "output_tokens": None,
    "cost_usd": None,
}


def judged(**changes) -> pd.DataFrame:
    return pd.DataFrame([ROW | changes])


def test_the_columns_are_those_of_the_public_interface():
    assert JUDGMENTS.names == list(ROW)
    asked = ["suite", "prompt_id", "subset", "prompt", "system", "elicitation", "sample_index"]
    assert SAMPLES.names == [*asked, "completion", "n_tokens", "finish_reason"]


@pytest.mark.parametrize("table", [SAMPLES, JUDGMENTS], ids=lambda table: table.name)
def test_the_readme_lists_the_columns_as_they_are(table):
    assert table.markdown() in (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("table", [SAMPLES, JUDGMENTS], ids=lambda table: table.name)
def test_every_column_says_in_one_line_what_it_is(table):
    assert len(set(table.names)) == len(table.names)
    for column in table.columns:
        assert column.meaning and "\n" not in column.meaning and "|" not in column.meaning
        assert (column.kind == "choice") == bool(column.choices)


def test_a_judgment_is_its_key_the_judge_and_what_the_judge_said():
    assert [*session.KEYS, "judge", "rubric", *COLUMNS] == JUDGMENTS.names
    assert JUDGMENTS.column("outcome").choices == OUTCOMES
    assert SAMPLES.names == SAMPLE_COLUMNS


def test_what_is_missing_is_null_in_the_file_and_not_a_number(tmp_path):
    write_parquet(tmp_path / "a.parquet", JUDGMENTS.typed(judged().assign(another="column")))
    read = pd.read_parquet(tmp_path / "a.parquet")
    assert list(read) == JUDGMENTS.names
    expected = {column.name: column.dtype for column in JUDGMENTS.columns}
    assert {name: str(dtype) for name, dtype in read.dtypes.items()} == expected
    assert (
        read["code"].isna().all()
        and read["input_tokens"].isna().all()
        and read["cost_usd"].isna().all()
    )


def test_a_column_that_is_missing_is_an_error_before_anything_is_written():
    with pytest.raises(KeyError, match="rubric"):
        JUDGMENTS.typed(judged().drop(columns="rubric"))


@pytest.mark.parametrize("table", [SAMPLES, JUDGMENTS], ids=lambda table: table.name)
def test_an_empty_table_has_every_column_with_its_type(table):
    empty = table.empty()
    assert list(empty) == table.names and len(empty) == 0
    assert [str(dtype) for dtype in empty.dtypes] == [column.dtype for column in table.columns]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"outcome": "lost"}, ["'outcome'", "scored"]),
        ({"variant": "half"}, ["'variant'", "full, stripped"]),
        ({"aligned": 101.0}, ["'aligned'"]),
        ({"coherent": -1.0}, ["'coherent'"]),
        ({"refusal": 2}, ["'refusal'"]),
        ({"replicate": 0.5}, ["'replicate'"]),
        ({"prompt_id": None}, ["'prompt_id'", "missing"]),
    ],
)
def test_the_statistics_refuse_what_the_schema_does_not_allow(changes, words):
    with pytest.raises(SchemaError) as error:
        validate_judgments(judged(**changes).assign(seed=42, condition="base"), "t")
    assert [word for word in words if word not in str(error.value)] == [], error.value


def test_a_table_without_rows_is_valid():
    assert validate_judgments(JUDGMENTS.empty(), "t").empty
