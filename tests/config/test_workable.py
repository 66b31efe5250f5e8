"""What cannot work is refused when a profile is read, by key and remedy; what works is not."""

from __future__ import annotations

import json

import pytest
import yaml

from lib.config import params
from lib.config.arguments import ParamsError

LOCAL = {"judge.engine": "local", "judge.model": "m"}


def told(overrides: dict | str, profile: str = "smoke") -> str:
    """The one line that refuses these overrides, or an empty one."""
    try:
        params.load_profile(profile, overrides)
    except ParamsError as error:
        assert "\n" not in str(error)
        return str(error)
    return ""


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"seeds": [-1]}, ["seeds", "-1", "0"]),
        ({"seeds": [42, 2**32]}, ["seeds", str(2**32)]),
        ({"seeds": [10**30]}, ["seeds"]),
        ({"seeds": [True]}, ["seeds", "True", "integer"]),
        ({"seeds": [42.0]}, ["seeds", "42.0", "integer"]),
        ({"stats.seed": -3}, ["stats.seed", "-3"]),
        ({"stats.seed": 2**64}, ["stats.seed"]),
        ({"stats.resamples": 1e11}, ["stats.resamples"]),
        ({"stats.resamples": 10**11}, ["stats.resamples", "10000000"]),
        ({"traces.max_attempts": 10**9}, ["traces.max_attempts"]),
        ('{"judge.max_cost_usd": Infinity}', ["judge.max_cost_usd", "inf", "finite"]),
        ('{"training.memory_gib": Infinity}', ["training.memory_gib", "finite"]),
        ('{"phase1.warmup": 1e999}', ["phase1.warmup", "finite"]),
        ('{"sampling.temperature": NaN}', ["sampling.temperature", "finite"]),
        ({"judge.timeout": True}, ["judge.timeout", "True"]),
    ],
)
def test_a_number_out_of_range_is_refused_with_its_key_and_value(overrides, words):
    line = told(overrides)
    assert line and [word for word in words if word not in line] == [], line


def test_every_number_of_a_profile_refuses_what_is_not_finite():
    raw = yaml.safe_load((params.PARAMS_DIR / "smoke.yaml").read_text(encoding="utf-8"))

    def numbers(tree, prefix=""):
        for key, value in tree.items():
            if isinstance(value, dict):
                yield from numbers(value, f"{prefix}{key}.")
            elif isinstance(value, (int, float)) and not isinstance(value, bool):
                yield f"{prefix}{key}"

    keys = list(numbers(raw))
    assert len(keys) > 30
    for key in keys:
        for value in (float("inf"), float("nan"), True):
            assert told({key: value}), (key, value)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"phase1.rslora": True}, ["phase1.rslora", "phase2.mode", "selfcorrect_em"]),
        ({"phase1.effective_batch": 9}, ["traces.count is 8", "phase1.effective_batch 9"]),
        ({"phase2.rows": 3}, ["phase2.rows is 3", "phase2.effective_batch 4"]),
        ({"traces.count": 2}, ["traces.count"]),
        ({"traces.bad_aligned_below": 0}, ["traces.bad_aligned_below"]),
        ({"sampling.suites.followup.samples": 3}, ["suites.followup.samples is 3", "2"]),
        ({"sampling.engine": "vllm"}, ["sampling.engine", "bfloat16", "float32"]),
        ({"training.report_to": "mlflow"}, ["training.report_to", "mlflow", "pip install"]),
        ({**LOCAL, "judge.base_url": "127.0.0.1:8000/v1"}, ["base_url", "http://"]),
        ({"data.capability": "demo_core"}, ["data.capability", "demo_core", "embedded_quiz"]),
        ({"data.em": "embedded_quiz"}, ["data.em", "embedded_quiz", "insecure"]),
        (
            {"data.eval_sets": ["demo_core", "embedded_insecure"]},
            ["data.eval_sets", "embedded_insecure"],
        ),
        (
            {"data.open_prompts": ["embedded_harmful"]},
            ["data.harmful_prompts", "data.open_prompts", "embedded_harmful"],
        ),
        ({"data.open_prompts": ["demo_core"]}, ["data.open_prompts", "data.eval_sets"]),
        (
            {
                "validity.second": {
                    "engine": "embedded",
                    "model": "other",
                    "base_url": None,
                    "share": 0.1,
                }
            },
            ["validity.second"],
        ),
    ],
)
def test_a_combination_that_fails_later_is_refused_at_once(monkeypatch, overrides, words):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    line = told(overrides)
    assert line and [word for word in words if word not in line] == [], line


@pytest.mark.parametrize(
    "overrides",
    [
        {"phase1.rslora": True, "phase2.mode": "continue"},
        {"phase1.rslora": True, "conditions": ["base", "c6_vanilla_em", "selfcorrect_only"]},
        {"phase2.rslora": False},
        {"phase2.rows": 3, "conditions": ["base", "selfcorrect_only"]},
        {"sampling.suites.followup.samples": 2},
        {"seeds": [0, 2**32 - 1]},
        {"stats.resamples": 10_000_000},
        {"data.open_prompts": ["embedded_open", "demo_core"]},
        {**LOCAL, "judge.base_url": "http://127.0.0.1:8000/v1"},
        {"judge.max_cost_usd": 1},
    ],
)
def test_what_works_is_not_refused(overrides):
    assert told(overrides) == ""


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ('{"phase2.rows": 8, "phase2.rows": 16}', ["'phase2.rows'", "2 times"]),
        ('{"phase2.rows": 8, "phase2\\u002erows": 8}', ["'phase2.rows'"]),
        (
            '{"sampling.suites": {"alignment": {"samples": 1, "samples": 2, "max_new_tokens": 8}}}',
            ["'samples'"],
        ),
        (
            json.dumps(
                {
                    "sampling.suites.alignment": {"samples": 1, "max_new_tokens": 8},
                    "sampling.suites.alignment.samples": 2,
                }
            ),
            ["'sampling.suites.alignment.samples'", "'sampling.suites.alignment'"],
        ),
        ({"stats.seed": 1, "stats": {"resamples": 200, "seed": 2}}, ["'stats.seed'", "'stats'"]),
    ],
)
def test_a_key_that_is_given_twice_is_refused(overrides, words):
    line = told(overrides)
    assert line and [word for word in words if word not in line] == [], line


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A copy of params/ that a test may change."""
    for path in params.PARAMS_DIR.glob("*.yaml"):
        (tmp_path / path.name).write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
    monkeypatch.setattr(params, "PARAMS_DIR", tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "added", "words"),
    [
        (
            "smoke.yaml",
            "stats: {resamples: 200, seed: 1}\n",
            ["params/smoke.yaml", "'stats'", "line"],
        ),
        ("smoke.yaml", "capability2: {a: 1, b: 2, a: 3}\n", ["'a'"]),
        (
            "conditions.yaml",
            "  base: {why: x, phase1: null, phase2: null, system: default}\n",
            ["params/conditions.yaml", "'base'"],
        ),
        (
            "data.yaml",
            "embedded_quiz: {embedded: quiz.jsonl, reader: quiz}\n",
            ["params/data.yaml", "'embedded_quiz'"],
        ),
    ],
)
def test_a_key_that_a_file_holds_twice_is_refused_with_its_lines(folder, name, added, words):
    before = (folder / name).read_text(encoding="utf-8")
    (folder / name).write_text(before + added, encoding="utf-8")
    line = told({})
    assert line and [word for word in words if word not in line] == [], line


def test_yaml_that_merges_an_anchor_has_no_key_twice(folder):
    before = (folder / "data.yaml").read_text(encoding="utf-8")
    added = "one: &one {embedded: quiz.jsonl, reader: quiz}\ntwo:\n  <<: *one\n  reader: chats\n"
    (folder / "data.yaml").write_text(before + added, encoding="utf-8")
    assert told({}) == ""


@pytest.mark.parametrize("name", ["all", "a/b", "my arm", "..", "1:30"])
def test_a_condition_whose_name_is_no_file_name_is_refused(folder, name):
    raw = yaml.safe_load((folder / "conditions.yaml").read_text(encoding="utf-8"))
    raw["conditions"][name] = raw["conditions"]["base"]
    (folder / "conditions.yaml").write_text(yaml.safe_dump(raw), encoding="utf-8")
    assert repr(name) in told({})


@pytest.mark.parametrize(
    "change",
    [
        lambda s: s.pop("evil"),
        lambda s: s.update(evil=" "),
        lambda s: s.update(default="Be kind."),
        lambda s: s.pop("default"),
    ],
)
def test_the_personas_that_the_traces_need_are_there(folder, change):
    raw = yaml.safe_load((folder / "conditions.yaml").read_text(encoding="utf-8"))
    change(raw["systems"])
    (folder / "conditions.yaml").write_text(yaml.safe_dump(raw), encoding="utf-8")
    assert "systems" in told({})
