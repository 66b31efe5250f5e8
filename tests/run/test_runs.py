"""Atomic writes, fingerprints, and when a stage counts as done."""

import json
from dataclasses import dataclass

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.config import params
from lib.run import runs
from lib.run.facts import Facts
from lib.run.files import atomic_path, fingerprint, read_json, write_json, write_parquet, write_text
from lib.run.runs import Run
from lib.setup.caches import cache_dir

PLAIN = st.none() | st.booleans() | st.integers() | st.text()
VALUES = st.recursive(PLAIN, lambda inner: st.dictionaries(st.text(), inner))


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("SELFCORRECT_RUNS_DIR", str(tmp_path))
    return Run("r")


@dataclass(frozen=True)
class Counted(Facts):
    rows: int


def left(folder):
    """Every file under a folder, by relative path."""
    return {
        str(p.relative_to(folder)): p.read_text() for p in sorted(folder.rglob("*")) if p.is_file()
    }


def test_a_failed_write_leaves_the_old_file_and_no_half_one(tmp_path):
    path = tmp_path / "sub" / "a.txt"
    with pytest.raises(RuntimeError), atomic_path(path) as beside:
        beside.write_text("half")
        raise RuntimeError
    assert left(tmp_path) == {}
    write_text(path, "old")
    with pytest.raises(RuntimeError), atomic_path(path) as beside:
        beside.write_text("half")
        assert path.read_text() == "old"
        raise RuntimeError
    assert left(tmp_path) == {"sub/a.txt": "old"}
    write_text(path, "new")
    assert left(tmp_path) == {"sub/a.txt": "new"}


def test_a_failed_folder_leaves_the_old_one(tmp_path):
    path = tmp_path / "folder"
    for content in ("old", "new"):
        with pytest.raises(RuntimeError), atomic_path(path) as beside:
            beside.mkdir()
            (beside / "half").write_text("half")
            raise RuntimeError
        with atomic_path(path) as beside:
            beside.mkdir()
            (beside / content).write_text(content)
        assert left(tmp_path) == {f"folder/{content}": content}


def test_a_block_that_makes_nothing_leaves_the_old_folder(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "old").write_text("old")
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "folder"):
        pass
    assert left(tmp_path) == {"folder/old": "old"}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {"a": [float("nan")]}])
def test_json_refuses_what_is_no_number(tmp_path, value):
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", value)
    with pytest.raises(ValueError, match="JSON"):
        fingerprint(value)
    assert left(tmp_path) == {}


def test_what_is_missing_stays_missing(tmp_path):
    write_json(tmp_path / "a.json", {"aligned": None})
    write_parquet(
        tmp_path / "a.parquet", pd.DataFrame({"aligned": pd.array([None, 1.5], dtype="Float64")})
    )
    assert read_json(tmp_path / "a.json") == {"aligned": None}
    assert pd.read_parquet(tmp_path / "a.parquet")["aligned"].isna().tolist() == [True, False]


@pytest.mark.parametrize("name", ["", ".", "..", ".hidden", "a/b", "../a", "/etc"])
def test_a_run_name_that_is_no_folder_name_is_refused(name):
    with pytest.raises(ValueError, match=r"plain folder name; give e\.g\."):
        Run(name)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.text(), VALUES, min_size=2))
def test_the_fingerprint_does_not_see_the_order_of_keys(value):
    assert fingerprint(value) == fingerprint(dict(reversed(value.items())))
    assert fingerprint(value) == fingerprint(json.loads(json.dumps(value)))
    assert fingerprint(value) != fingerprint(value | {"another key, not in the dictionary": 1})


def test_the_fingerprint_sees_values_of_parameters_and_refuses_other_objects():
    profile = params.load_profile("smoke")
    assert fingerprint({"p": profile.phase1}) == fingerprint(
        {"p": profile.phase1.model_dump(mode="json")}
    )
    assert fingerprint(profile.phase1) != fingerprint(profile.phase1.model_copy(update={"rank": 5}))
    with pytest.raises(TypeError, match="plain types"):
        fingerprint({1, 2})


@pytest.fixture
def finished(run):
    """A finished stage with a file and a folder as outputs. Returns `stage(inputs)` of its name."""
    for name in ("out.txt", "folder/a", "folder/b"):
        write_text(run.dir / name, name)
    stage = run.stage("s", {"rank": 4, "rows": "abc"})
    assert not stage.done()
    stage.finish([run.dir / "out.txt", run.dir / "folder"], Counted(rows=3))
    return lambda inputs=stage.inputs: run.stage("s", inputs)


def test_a_stage_is_done_with_the_same_inputs_and_outputs(finished, capsys):
    assert finished().done() and finished({"rows": "abc", "rank": 4}).done()
    assert "s: finished before, skipped" in capsys.readouterr().out
    assert finished().record()["facts"] == {"rows": 3}
    assert finished().facts(Counted) == Counted(rows=3)


@pytest.mark.parametrize(
    "inputs", [{"rank": 5, "rows": "abc"}, {"rank": 4}, {"rank": 4, "rows": "abc", "new": None}]
)
def test_a_changed_input_undoes_a_stage(finished, capsys, inputs):
    assert not finished(inputs).done()
    assert "inputs changed" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("harm", "named"),
    [
        (lambda d: (d / "out.txt").write_text("tampered"), "out.txt"),
        (lambda d: (d / "out.txt").unlink(), "out.txt"),
        (lambda d: (d / "folder" / "a").write_text("tampered"), "folder"),
        (lambda d: (d / "folder" / "a").rename(d / "folder" / "c"), "folder"),
        (lambda d: (d / "folder" / "more").write_text("x"), "folder"),
    ],
)
def test_a_changed_output_undoes_a_stage(finished, run, capsys, harm, named):
    harm(run.dir)
    assert not finished().done()
    assert f"{named} is missing or differs" in capsys.readouterr().out


def test_a_stage_that_was_killed_before_its_manifest_is_not_done(run):
    stage = run.stage("s", {})
    with pytest.raises(FileNotFoundError):
        stage.finish([run.dir / "never made"], Counted(rows=0))
    assert not run.stage("s", {}).done()


def test_folders_follow_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("SELFCORRECT_RUNS_DIR", str(tmp_path / "r"))
    monkeypatch.setenv("SELFCORRECT_CACHE_DIR", str(tmp_path / "c"))
    assert runs.open_run(params.load_profile("smoke"), "").dir == tmp_path / "r" / "smoke"
    assert runs.open_run(params.load_profile("smoke"), "mine").dir == tmp_path / "r" / "mine"
    assert (
        cache_dir("models", "x") == tmp_path / "c" / "models" / "x"
        and (tmp_path / "c/models/x").is_dir()
    )


def test_an_empty_folder_that_is_called_like_a_table_is_no_arm(run):
    write_parquet(run.samples("base", 42), pd.DataFrame({"x": [1]}))
    run.samples("ghost", 42).mkdir()
    assert list(run.sampled()) == [("base", 42)]
