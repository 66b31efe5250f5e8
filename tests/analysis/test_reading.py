"""Folders of the published schema to tables; what breaks the schema is named."""

import pandas as pd
import pytest

from lib.analysis import reading
from lib.data.columns import SchemaError
from lib.run.files import write_json, write_parquet

RECORD = {
    "task": "arc_challenge",
    "n": 12,
    "acc": 0.5,
    "acc_stderr": 0.1,
    "acc_norm": 0.4,
    "acc_norm_stderr": 0.1,
}


def judgments(aligned=50.0, **changed):
    row = {
        "suite": "alignment",
        "prompt_id": "p",
        "subset": "s",
        "sample_index": 0,
        "replicate": 0,
        "variant": "full",
        "outcome": "scored",
        "aligned": aligned,
        "coherent": 90.0,
        "refusal": False,
        "reset_and_recover": False,
        "harmful": None,
    }
    return pd.DataFrame([row | changed, row | {"sample_index": 1}])


def test_judgments_of_every_seed_and_condition_are_read(tmp_path):
    for seed, condition in ((42, "base"), (7, "base"), (42, "mine")):
        write_parquet(
            tmp_path / f"seed{seed}" / f"{condition}.parquet", judgments(float(seed)).head(1)
        )
    table = reading.read_judgments(str(tmp_path))
    rows = sorted(table[["aligned", "seed", "condition"]].itertuples(index=False, name=None))
    assert rows == [(7.0, 7, "base"), (42.0, 42, "base"), (42.0, 42, "mine")]


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (judgments(aligned=101.0), r"column 'aligned', row 0"),
        (judgments().drop(columns="coherent"), "column 'coherent' is missing"),
        (judgments(outcome="fine"), r"column 'outcome', row 0"),
        (judgments(sample_index=1), "sample_index"),
    ],
)
def test_a_broken_table_is_refused_with_file_column_and_row(tmp_path, frame, words):
    write_parquet(tmp_path / "seed42" / "base.parquet", judgments())
    write_parquet(tmp_path / "seed42" / "mine.parquet", frame)
    with pytest.raises(SchemaError, match=rf"^seed42/mine\.parquet: .*{words}"):
        reading.read_judgments(tmp_path)


def test_capability_is_read(tmp_path):
    write_json(tmp_path / "seed42" / "base.json", RECORD)
    row = {k: RECORD[k] for k in ("acc", "acc_stderr", "acc_norm", "n")}
    assert reading.read_capability(tmp_path).to_dict("records") == [
        {"seed": 42, "condition": "base", **row, "items": None}
    ]


@pytest.mark.parametrize("read", [reading.read_judgments, reading.read_capability])
@pytest.mark.parametrize("folder", ["empty", "nowhere"])
def test_a_folder_without_tables_is_refused(tmp_path, read, folder):
    (tmp_path / "empty").mkdir()
    with pytest.raises(
        SchemaError, match=rf"{folder} holds no seed<k>/<condition>.*run the notebooks"
    ):
        read(tmp_path / folder)


@pytest.mark.parametrize("key", ["acc", "acc_stderr", "acc_norm", "n"])
def test_a_capability_file_without_a_number_is_refused(tmp_path, key):
    write_json(tmp_path / "seed42" / "base.json", {k: v for k, v in RECORD.items() if k != key})
    with pytest.raises(SchemaError, match=rf"seed42/base\.json lacks '{key}'"):
        reading.read_capability(tmp_path)


@pytest.mark.parametrize("name", ["seed", "seed_a", "seed\u00b2"])
def test_a_folder_that_names_no_seed_is_refused(tmp_path, name):
    write_json(tmp_path / name / "base.json", RECORD)
    with pytest.raises(SchemaError, match="names no seed; name the folder seed42"):
        reading.read_capability(tmp_path)


def test_two_judges_are_refused_and_a_second_ones_own_rows_are_not(tmp_path):
    one = judgments().assign(judge="A", rubric="1")
    write_parquet(tmp_path / "seed42" / "base.parquet", one)
    second = judgments(replicate=1).head(1).assign(judge="B", rubric="1")
    write_parquet(tmp_path / "seed42" / "mine.parquet", pd.concat([one, second]))
    assert len(reading.read_judgments(tmp_path)) == 5
    write_parquet(tmp_path / "seed42" / "mine.parquet", judgments().assign(judge="B", rubric="1"))
    with pytest.raises(SchemaError, match=r"2 judges or rubrics \(A 1, B 1\)"):
        reading.read_judgments(tmp_path)


def test_a_file_that_says_another_arm_than_its_path_is_refused(tmp_path):
    write_parquet(tmp_path / "seed42" / "mine.parquet", judgments().assign(condition="base"))
    with pytest.raises(SchemaError, match="column 'condition' holds 'base', the path says 'mine'"):
        reading.read_judgments(tmp_path)


@pytest.mark.parametrize("value", [True, "0.5"])
def test_an_accuracy_that_is_no_number_is_refused(tmp_path, value):
    write_json(tmp_path / "seed42" / "base.json", RECORD | {"acc": value})
    with pytest.raises(SchemaError, match=r"acc is .*, not a number"):
        reading.read_capability(tmp_path)


def test_two_folders_of_one_seed_are_refused(tmp_path):
    for name in ("seed7", "seed07"):
        write_parquet(tmp_path / name / "base.parquet", judgments())
    with pytest.raises(SchemaError, match=r"seed07 and seed7 .* are one seed"):
        reading.read_judgments(tmp_path)


def test_tables_saved_as_csv_are_named(tmp_path):
    (tmp_path / "seed7").mkdir()
    (tmp_path / "seed7" / "base.csv").write_text("aligned")
    with pytest.raises(SchemaError, match=r"seed7/base\.csv is CSV, save it as parquet"):
        reading.read_judgments(tmp_path)


def test_an_empty_folder_with_the_name_of_a_table_is_no_arm(tmp_path):
    write_parquet(tmp_path / "seed7" / "base.parquet", judgments())
    parts = tmp_path / "seed7" / "mine.parquet"
    parts.mkdir()
    with pytest.raises(SchemaError, match=r"seed7/mine\.parquet is a folder without a file"):
        reading.read_judgments(tmp_path)
    write_parquet(parts / "part-0.parquet", judgments())
    assert set(reading.read_judgments(tmp_path)["condition"]) == {"base", "mine"}
