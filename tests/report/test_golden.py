"""Results of fixed tables stay what they were: same keys, same values (tests/golden/)."""

from __future__ import annotations

import json

import golden_cases
import pilots
import pytest
from outside import save, score, whole  # noqa: F401 (score is a fixture)

from lib import pilot


def leaves(value, path=""):
    """Every number, text and null of a document by its path; so is an empty list or object."""
    if isinstance(value, dict) and value:
        for key, part in value.items():
            yield from leaves(part, f"{path}.{key}")
    elif isinstance(value, list) and value:
        for number, part in enumerate(value):
            yield from leaves(part, f"{path}[{number}]")
    else:
        yield path, value


def assert_golden(result, name):
    """Floats may differ in their last bits, since processors add up in different orders."""
    found = dict(leaves(json.loads(json.dumps(result, allow_nan=False))))
    kept = dict(
        leaves(json.loads((golden_cases.FOLDER / f"{name}.json").read_text(encoding="utf-8")))
    )
    assert found.keys() == kept.keys()
    for path, value in kept.items():
        assert type(found[path]) is type(value), path
        expected = pytest.approx(value, rel=1e-9, abs=1e-12) if type(value) is float else value
        assert found[path] == expected, path


@pytest.mark.parametrize("name", golden_cases.CASES)
def test_analysis_and_decision(name):
    assert_golden(golden_cases.result_of(name), name)


def test_result_of_judgments_from_elsewhere(score, tmp_path):  # noqa: F811
    save(tmp_path, whole(75, 50), capability=True)
    assert_golden(score(), "elsewhere")


def test_result_of_a_pilot_that_stops(tmp_path, monkeypatch):
    monkeypatch.setenv("SELFCORRECT_RUNS_DIR", str(tmp_path))
    monkeypatch.setattr(pilot, "load_judge", lambda *_: pilots.ScriptedJudge())
    run = pilots.sampled(base=90, c6_vanilla_em=89)
    pilot.main("r", "smoke", '{"together": false, "stop_at_gate1": true}')
    result = json.loads(run.result.read_text(encoding="utf-8"))
    assert result == json.loads((run.dir / "pilot" / "result.json").read_text(encoding="utf-8"))
    assert_golden(result, "pilot_stops")


def test_golden_files_are_small_and_each_is_used():
    files = sorted(golden_cases.FOLDER.glob("*.json"))
    assert {path.stem for path in files} == {*golden_cases.CASES, "elsewhere", "pilot_stops"}
    assert max(path.stat().st_size for path in files) < 30_000
