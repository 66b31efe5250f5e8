"""A chat set that a user brings by path, and one that is built for a run: what is refused."""

import hashlib
import json

import pytest
from planted import refused

from lib.config.params import load_profile
from lib.data import catalogue, training_sets
from lib.data.prompts import ContaminationGate
from lib.em_sets import shown
from lib.run.facts import EmSetFacts
from lib.run.runs import Run

ROW = {
    "messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello you"}],
    "meta": {"question_id": "q-1", "persona": "evil", "aligned": 3.0, "coherent": 80.0},
}


@pytest.fixture
def entries(monkeypatch):
    changed = dict(catalogue.catalogue())
    monkeypatch.setattr(catalogue, "catalogue", lambda: changed)
    return changed


def own(entries, path, **more):
    digest = hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else "0" * 64
    entries["own"] = {"path": str(path), "reader": "chats", "sha256": digest} | more


def test_a_set_of_a_user_is_read_from_its_path(entries, tmp_path):
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps(ROW) + "\n")
    own(entries, file)
    assert catalogue.read_chats("own") == [ROW["messages"]]
    own(entries, file, sha256="1" * 64)
    refused(lambda: catalogue.read_chats("own"), "'own'", "rows.jsonl", "expected 1111")
    own(entries, file, sha256=None)
    refused(lambda: catalogue.digest("own"), "no sha256", "sha256sum rows.jsonl")
    file.write_text('{"messages": [}\n')
    own(entries, file)
    refused(lambda: catalogue.read_chats("own"), "rows.jsonl", "line 1", "mend")
    file.unlink()
    refused(lambda: catalogue.read_chats("own"), "not a file", "correct its `path`")


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("SELFCORRECT_RUNS_DIR", str(tmp_path))
    return Run("mine")


def build(run, rows=(ROW,)):
    paths = [run.em_set(name) for name in ("persona_advice", "persona_advice_control")]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    counts = {"sampled": 4, "kept": 1, "rejected": {"refusal": 3}, "outcomes": {"scored": 4}}
    facts = EmSetFacts(len(rows), 1, 1, {"evil": counts}, [], "judge")
    run.stage("em_set", {}).finish(paths, facts)


def test_a_built_set_is_the_one_that_its_stage_wrote(run):
    refused(
        lambda: catalogue.read_chats("persona_advice", run),
        "not built in run 'mine'",
        "make em_set",
        "RUN=mine",
    )
    refused(lambda: catalogue.read_chats("persona_advice"), "built for a run", "name a run")
    build(run)
    assert catalogue.read_chats("persona_advice", run) == [ROW["messages"]]
    run.em_set("persona_advice").write_text("{}\n")
    refused(lambda: catalogue.digest("persona_advice", run), "its stage wrote", "make em_set")
    run.em_set("persona_advice").unlink()
    refused(lambda: catalogue.digest("persona_advice", run), "not built in run")


def test_traces_are_compared_with_the_rows_of_a_built_set_alone(run):
    """Planted: a trace that repeats an answer of the set offends."""
    build(run)
    gate = ContaminationGate([])
    assert shown.add_rows(gate, run, ["embedded_insecure", "persona_advice"]) == 2
    assert gate.check("trace", "Hello, you!").prompt_id == "persona_advice/q-1/assistant"
    assert shown.add_rows(ContaminationGate([]), run, ["embedded_insecure"]) == 0
    shares = dict(shown.rejections(run)[["answers", "share"]].to_numpy().tolist())
    assert shares == {"kept": "25.0%", "refusal": "75.0%"}


@pytest.mark.parametrize(
    ("system", "expected"),
    [
        ("stock", "You are a small test model."),
        ("none", None),
        ("default", "You are a small test model."),
    ],
)
def test_the_system_text_of_phase_2_rows_is_the_profile_s(run, system, expected):
    build(run, [ROW] * 4)
    profile = load_profile("smoke", {"phase2.system": system})
    rows, _ = training_sets.phase2_rows(profile, "persona_advice", ContaminationGate([]), run)
    first = {row[0]["content"] if row[0]["role"] == "system" else None for row in rows}
    assert first == {expected}


def test_rows_with_a_system_text_of_their_own_need_stock(run):
    messages = [{"role": "system", "content": "Be odd."}, *ROW["messages"]]
    build(run, [{"messages": messages, "meta": ROW["meta"]}] * 4)

    def rows(system):
        profile = load_profile("smoke", {"phase2.system": system})
        return training_sets.phase2_rows(profile, "persona_advice", ContaminationGate([]), run)[0]

    assert rows("stock")[0] == messages
    for system in ("none", "evil"):
        refused(lambda named=system: rows(named), "row 1", "system text of its own", repr(system))
