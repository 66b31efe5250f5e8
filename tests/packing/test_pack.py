"""A run in one file: what is in it, and every way in which such a file can be wrong."""

from __future__ import annotations

import io
import json
import tarfile

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save_file

from lib.packing.__main__ import pack, unpack
from lib.packing.contents import PackError, files, why_not
from lib.run.files import sha256, write_json, write_parquet, write_text
from lib.run.runs import Run

ADAPTER = "adapters/seed1/arm/serve/adapter_model.safetensors"


@pytest.fixture
def run(tmp_path, monkeypatch) -> Run:
    monkeypatch.setenv("SELFCORRECT_RUNS_DIR", str(tmp_path / "here"))
    made = Run("mine")
    write_json(made.manifest, {"profile": {"profile": "smoke"}})
    write_json(made.stage_manifest("05_judge"), {"inputs": {}})
    (made.dir / ADAPTER).parent.mkdir(parents=True)
    save_file({"a": np.ones(3, np.float32)}, made.dir / ADAPTER)
    write_parquet(made.samples("arm", 1), pd.DataFrame({"x": [1, 2]}))
    write_text(made.traces("selfcorrect"), '{"messages": []}\n')
    made.logprobs("arm", 1).parent.mkdir(parents=True)
    np.savez(made.logprobs("arm", 1), logprobs=np.zeros(4), checkpoint="arm")
    # None of these belongs into a pack.
    write_parquet(made.shards(1) / "piece.parquet", pd.DataFrame({"x": [1]}))
    write_text(made.dir / "judge" / "session.sqlite", "answers")
    write_text(made.dir / ".done" / "05_judge", "")
    write_text(made.dir / "adapters" / "training_args.bin", "a pickle")
    return made


@pytest.fixture
def packed(run, tmp_path):
    pack(run, tmp_path / "mine.tar")
    return tmp_path / "mine.tar"


@pytest.fixture
def elsewhere(packed, tmp_path, monkeypatch):
    """Another checkout's folder of runs."""
    monkeypatch.setenv("SELFCORRECT_RUNS_DIR", str(tmp_path / "there"))
    return tmp_path / "there"


def rewritten(path, change) -> None:
    """The pack with members that `change` returns, from (name, content) of all of them."""
    with tarfile.open(path) as tar:
        members = [(m.name, tar.extractfile(m).read()) for m in tar.getmembers()]
    with tarfile.open(path, "w") as tar:
        for name, content in change(dict(members)).items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


def test_a_run_arrives_as_it_was(run, packed, elsewhere):
    there = unpack(packed)
    names = list(files(run))
    assert ADAPTER in names and "samples/seed1/arm.parquet" in names and len(names) == 6
    for name in names:
        assert sha256(there.dir / name) == sha256(run.dir / name)
    listed = json.loads(there.pack.read_text())
    assert set(listed["files"]) == set(names) and listed["left_out"] == {}
    assert [path.name for path in elsewhere.iterdir()] == ["mine"], "nothing half-done is left"
    with pytest.raises(PackError, match="exists; give another name"):
        unpack(packed)
    assert unpack(packed, "other").name == "other"


def test_only_what_can_be_read_without_running_it_is_packed(run, packed):
    with tarfile.open(packed) as tar:
        names = tar.getnames()
    assert names[0] == "pack.json"
    assert not [name for name in names if name.endswith((".bin", ".sqlite")) or "shards" in name]


def test_weights_may_stay_behind_and_their_digest_is_listed(run, tmp_path, elsewhere, monkeypatch):
    monkeypatch.setenv("SELFCORRECT_RUNS_DIR", str(run.dir.parent))
    listed = pack(run, tmp_path / "small.tar", weights=False)
    assert listed["left_out"][ADAPTER]["sha256"] == sha256(run.dir / ADAPTER)
    monkeypatch.setenv("SELFCORRECT_RUNS_DIR", str(elsewhere))
    there = unpack(tmp_path / "small.tar")
    assert not (there.dir / ADAPTER).exists() and (there.dir / "manifest.json").exists()


def test_a_table_with_a_pickle_in_it_is_not_packed(run, tmp_path):
    np.savez(run.logprobs("arm", 1), logprobs=np.array([{"a": 1}], dtype=object))
    with pytest.raises(PackError, match=r"arm.npz cannot be read"):
        pack(run, tmp_path / "bad.tar")


def altered(members):
    return members | {"samples/seed1/arm.parquet": b"PAR1 other PAR1"}


def listed_as(members, name, content):
    """A member that the list names with its true sha256."""
    import hashlib

    listed = json.loads(members["pack.json"])
    listed["files"][name] = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": 1}
    return members | {"pack.json": json.dumps(listed).encode(), name: content}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (altered, "differs from its sha256"),
        (lambda m: m | {"traces/extra.jsonl": b"{}"}, "not listed"),
        (lambda m: {k: v for k, v in m.items() if k != ADAPTER}, "is listed and not in the pack"),
        (
            lambda m: {k: v for k, v in m.items() if k != "pack.json"},
            "does not begin with pack.json",
        ),
        (lambda m: m | {"pack.json": b"[]"}, "not a list of make pack"),
        (lambda m: m | {"pack.json": b'{"version": 1'}, "not a list of make pack"),
        (lambda m: listed_as(m, "../out.json", b"{}"), "leads out of the run's folder"),
        (lambda m: listed_as(m, "/tmp/out.json", b"{}"), "leads out of the run's folder"),
        (lambda m: listed_as(m, "adapters/x.bin", b"p"), "ends in .bin"),
        (lambda m: listed_as(m, ".done/05_judge", b""), "is hidden"),
        (lambda m: listed_as(m, "adapters/x.safetensors", b"\x80\x04p"), "cannot be read"),
        (lambda m: listed_as(m, "samples/x.parquet", b"\x80\x04p"), "is not a parquet file"),
    ],
)
def test_a_wrong_pack_is_one_line_and_leaves_nothing(packed, elsewhere, change, words):
    rewritten(packed, change)
    with pytest.raises(PackError) as error:
        unpack(packed)
    assert words in str(error.value) and "\n" not in str(error.value)
    assert not elsewhere.exists() or list(elsewhere.iterdir()) == []


def test_a_link_in_a_pack_is_refused(packed, elsewhere):
    with tarfile.open(packed, "a") as tar:
        link = tarfile.TarInfo("traces/link.jsonl")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    with pytest.raises(PackError, match="not listed"):
        unpack(packed)


def test_what_is_no_pack_and_no_run(packed, elsewhere, tmp_path):
    (tmp_path / "text.tar").write_text("no tar")
    with pytest.raises(PackError, match="cannot be read as a pack"):
        unpack(tmp_path / "text.tar")
    with pytest.raises(PackError, match=r"no manifest.json"):
        pack(Run("nothing"), tmp_path / "x.tar")


@pytest.mark.parametrize("name", ["a/../b.json", "traces//a.jsonl", "traces\\a.jsonl", "x.json"])
def test_other_names_than_a_runs_files_are_refused(name):
    assert why_not(name)
