"""The pre-registration stamp: the first one stays, and a change after it shows."""

import shutil

import pytest

from lib.checks import preregistration
from lib.config import params
from lib.data.prompts import EvalPrompt
from lib.run import runs
from lib.run.files import read_json
from lib.run.records import RecordError, write_record
from lib.run.runs import Run

PROMPTS = [EvalPrompt("p1", "s", "Caf\u00e9?"), EvalPrompt("p2", "s", "Why?")]


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run whose registered files are copies; the environment is not looked up."""
    monkeypatch.setenv("SELFCORRECT_RUNS_DIR", str(tmp_path / "runs"))
    shutil.copytree(params.PARAMS_DIR, tmp_path / "params")
    monkeypatch.setattr(preregistration, "PARAMS_DIR", tmp_path / "params")
    monkeypatch.setattr(preregistration, "environment", dict)
    return Run("r")


@pytest.fixture
def stamped(run):
    preregistration.stamp(run, params.load_profile("smoke"), "{}", "rubric 1", PROMPTS)
    return run


def changes(run, rubric, prompts, overrides=None):
    return preregistration.changes(run, params.load_profile("smoke", overrides), rubric, prompts)


def test_without_a_stamp_nothing_can_be_said(run):
    assert changes(run, "rubric 1", PROMPTS) is None


def test_an_unchanged_run_has_no_changes(stamped):
    assert changes(stamped, "rubric 1", PROMPTS) == {}
    assert sorted(p.name for p in (stamped.dir / "preregistration").iterdir()) == [
        "conditions.yaml",
        "em_sets.json",
        "eval_prompts.jsonl",
        "gates.yaml",
        "profile.json",
        "rubric.txt",
    ]


def change_gates(run):
    path = preregistration.PARAMS_DIR / "gates.yaml"
    path.write_text(
        path.read_text(encoding="utf-8").replace("null_points: 5 ", "null_points: 1 "),
        encoding="utf-8",
    )


def test_a_changed_threshold_shows_as_a_difference(stamped):
    change_gates(stamped)
    changed = changes(stamped, "rubric 1", PROMPTS)
    assert list(changed) == ["gates.yaml"]
    assert "-null_points: 5 " in changed["gates.yaml"]
    assert "+null_points: 1 " in changed["gates.yaml"]


@pytest.mark.parametrize(
    ("rubric", "prompts", "name"),
    [
        ("rubric 2", PROMPTS, "rubric.txt"),
        ("rubric 1", PROMPTS[:1], "eval_prompts.jsonl"),
        ("rubric 1", PROMPTS[::-1], "eval_prompts.jsonl"),
    ],
)
def test_another_rubric_or_eval_set_shows(stamped, rubric, prompts, name):
    changed = changes(stamped, rubric, prompts)
    assert list(changed) == [name] and changed[name]


def test_a_second_start_keeps_the_first_stamp(stamped):
    before = read_json(stamped.manifest)["preregistration"]
    change_gates(stamped)
    overrides = '{"phase1.rank": 8}'
    again = preregistration.stamp(
        stamped, params.load_profile("smoke", overrides), overrides, "rubric 2", []
    )
    manifest = read_json(stamped.manifest)
    assert again == before == manifest["preregistration"]
    assert manifest["profile"]["phase1"]["rank"] == 8 and manifest["overrides"] == overrides
    assert set(changes(stamped, "rubric 1", PROMPTS)) == {"gates.yaml"}


def test_a_lost_copy_does_not_hide_the_change(stamped):
    shutil.rmtree(stamped.dir / "preregistration")
    assert changes(stamped, "rubric 1", PROMPTS) == {}
    assert "+rubric 2" in changes(stamped, "rubric 2", PROMPTS)["rubric.txt"]


def test_another_profile_in_the_same_run_is_refused(stamped):
    with pytest.raises(ValueError, match=r"run 'r'.*'smoke'.*'demo'.*-p run NAME"):
        runs.open_run(params.load_profile("demo"), stamped.name)
    assert read_json(stamped.manifest)["profile"]["profile"] == "smoke"


@pytest.mark.parametrize(
    "overrides",
    [
        {"seeds": [42, 43]},
        {"phase2.learning_rate": 2e-3},
        {"phase2.system": "none"},
        {"stats.seed": 5},
        {"judge.retest": False},
        {"sampling.temperature": 0.9},
        {"traces.bad_aligned_below": 99},
    ],
)
def test_what_decides_a_result_is_stamped(stamped, overrides):
    assert list(changes(stamped, "rubric 1", PROMPTS, overrides)) == ["profile.json"]


@pytest.mark.parametrize(
    "overrides",
    [
        {"sampling.batch": 3},
        {"training.token_budget": 4096},
        {"capability.batch": 2},
        {"judge.timeout": 5},
    ],
)
def test_how_a_machine_runs_it_is_not(stamped, overrides):
    assert changes(stamped, "rubric 1", PROMPTS, overrides) == {}


def test_another_phase_2_set_shows(stamped, monkeypatch):
    monkeypatch.setattr(preregistration, "digest", lambda name, run=None: "0" * 64)
    assert list(changes(stamped, "rubric 1", PROMPTS)) == ["em_sets.json"]


def test_a_stamp_of_an_earlier_version_says_why_it_differs(stamped):
    manifest = read_json(stamped.manifest)
    for name in ("profile.json", "em_sets.json"):
        del manifest["preregistration"]["sha256"][name]
    write_record(stamped.manifest, manifest)
    found = list(changes(stamped, "rubric 1", PROMPTS))
    assert len(found) == 2 and all("earlier version" in name for name in found)


def test_an_edited_stamp_is_refused(stamped):
    text = stamped.manifest.read_text()
    stamped.manifest.write_text(text.replace('"stamped": "2', '"stamped": "1'))
    assert stamped.manifest.read_text() != text
    with pytest.raises(RecordError, match=r"manifest\.json was changed after it was written; put"):
        changes(stamped, "rubric 1", PROMPTS)


@pytest.mark.parametrize("spoil", [lambda text: text + "#", lambda text: text[:9]], ids="ec")
def test_an_edited_or_cut_off_copy_of_a_stamped_text_is_refused(stamped, spoil):
    copy = stamped.dir / "preregistration" / "gates.yaml"
    copy.write_text(spoil(copy.read_text()))
    with pytest.raises(RecordError, match=r"preregistration/gates\.yaml of run .* put it back"):
        changes(stamped, "rubric 1", PROMPTS)
