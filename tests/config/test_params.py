"""Profiles, conditions and overrides load, or are refused in one line with key and remedy."""

import shutil

import pytest
import yaml

from lib.config import params
from lib.config.arguments import ParamsError
from lib.config.experiment import Experiment

PROFILES = sorted(p.stem for p in params.PARAMS_DIR.glob("*.yaml") if params.is_profile(p))
SUITE = {"samples": 1, "max_new_tokens": 8}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A copy of params/ that a test may change.

    Returns `edit(file, change)`, where `change` mutates the parsed YAML.
    """
    copy = tmp_path / "params"
    shutil.copytree(params.PARAMS_DIR, copy)
    monkeypatch.setattr(params, "PARAMS_DIR", copy)

    def edit(name, change):
        content = yaml.safe_load((copy / name).read_text(encoding="utf-8"))
        change(content)
        (copy / name).write_text(yaml.safe_dump(content), encoding="utf-8")

    return edit


def refused(load, *words):
    """The message of a refusal: one line that holds every word."""
    with pytest.raises(ParamsError) as error:
        load()
    message = str(error.value)
    assert "\n" not in message
    assert [word for word in words if str(word) not in message] == [], message


@pytest.mark.parametrize("name", PROFILES)
def test_every_profile_validates_and_is_named_after_its_file(name):
    profile = params.load_profile(name)
    assert profile.profile == name
    assert Experiment.of(profile).suites("base")[0] == "alignment"


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        (
            "phase2.learning_rat",
            1,
            ["'phase2.learning_rat'", "(value 1)", "'phase2.learning_rate'"],
        ),
        ("phase3.rank", 8, ["'phase3.rank'", "(value 8)", "'phase2'"]),
        ("judg", "x", ["'judg'", "(value 'x')", "'judge'"]),
        ("model.name.short", "x", ["'model.name.short'"]),
        ("phase1.rank", "sixteen", ["phase1.rank", "'sixteen'", "integer"]),
        ("phase1.rank", 0, ["phase1.rank", "is 0", "greater than or equal to 1"]),
        ("phase2.learning_rate", 1, ["phase2.learning_rate", "is 1", "less than 0.1"]),
        ("phase2.warmup", float("nan"), ["phase2.warmup", "is nan"]),
        ("phase2.mode", "merge", ["phase2.mode", "'merge'", "'stack' or 'continue'"]),
        ("phase1", None, ["phase1", "is None"]),
        ("phase1", {"rank": 4}, ["'phase1.alpha'", "missing"]),
        ("training.token_budget", 8, ["training.token_budget", "8"]),
        ("traces.count", 7, ["traces", "7 is odd"]),
        ("traces.recovery_openings", 2, ["traces.recovery_openings", "is 2"]),
        ("seeds", [1, 1], ["seeds [1, 1]", "twice"]),
        ("seeds", [], ["seeds", "is []"]),
        ("sampling.suites", {"benign": SUITE}, ["'alignment'", "is missing from suites"]),
        (
            "sampling.suites",
            {"alignment": {**SUITE, "sample": 1}},
            [
                "'sampling.suites.alignment.sample'",
                "(value 1)",
                "'sampling.suites.alignment.samples'",
            ],
        ),
        ("sampling.suites", {"alignment": SUITE, "alignmen": SUITE}, ["'alignmen'", "'alignment'"]),
        ("conditions", ["base", "selfcorect_em"], ["'selfcorect_em'", "nearest: selfcorrect_em"]),
        ("data.em", "insecur", ["data.em", "'insecur'", "'insecure'"]),
        ("data.eval_sets", ["betley_9"], ["data.eval_sets", "'betley_9'", "'betley_8'"]),
    ],
)
def test_an_override_that_is_wrong_is_refused(key, value, words):
    refused(lambda: params.load_profile("smoke", {key: value}), *words)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ('{"a":', ["'{\"a\":'", "not valid JSON", "phase2.learning_rate"]),
        ("[1]", ["[1]", "must map dotted keys"]),
    ],
)
def test_overrides_that_are_no_json_object_are_refused(overrides, words):
    refused(lambda: params.load_profile("smoke", overrides), *words)


def test_overrides_apply_as_mapping_and_as_json():
    for overrides in ({"phase2.learning_rate": 1e-4}, '{"phase2.learning_rate": 1e-4}'):
        assert params.load_profile("smoke", overrides).phase2.learning_rate == 1e-4
    assert (
        params.load_profile("smoke", {})
        == params.load_profile("smoke", "{}")
        == params.load_profile("smoke")
    )


@pytest.mark.parametrize(
    ("key", "value"), [("phase1.rank", True), ("phase1.rank", "16"), ("phase1.rslora", "yes")]
)
def test_a_value_of_another_type_is_not_coerced(key, value):
    refused(lambda: params.load_profile("smoke", {key: value}), key, repr(value))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c.update(seedz=[1]), ["params/smoke.yaml", "'seedz'", "(value [1])", "'seeds'"]),
        (lambda c: c["traces"].update(cuont=1), ["'traces.cuont'", "(value 1)", "'traces.count'"]),
        (lambda c: c.pop("judge"), ["'judge' is missing", "params/demo.yaml"]),
    ],
)
def test_a_profile_with_a_wrong_key_is_refused(folder, change, words):
    folder("smoke.yaml", change)
    refused(lambda: params.load_profile("smoke"), *words)


def test_a_profile_that_names_itself_otherwise_is_refused(folder):
    folder("smoke.yaml", lambda c: c.update(profile="demo"))
    refused(lambda: params.load_profile("smoke"), "profile", "'demo'", "'smoke'")


def test_an_unknown_profile_is_refused():
    refused(lambda: params.load_profile("smok"), "params/smok.yaml", "nearest: smoke")


@pytest.mark.parametrize(
    ("text", "words"),
    [("a: [1", ["not valid YAML"]), ("- a", ["contains a list", "params/demo.yaml"])],
)
def test_a_file_that_is_no_mapping_is_refused(folder, text, words):
    (params.PARAMS_DIR / "smoke.yaml").write_text(text)
    refused(lambda: params.load_profile("smoke"), "params/smoke.yaml", *words)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda c: c["conditions"]["base"].update(sistem="x"),
            ["'conditions.base.sistem'", "base.system'"],
        ),
        (
            lambda c: c["conditions"]["base"].update(phase1="selfcorect"),
            ["conditions.base.phase1", "'selfcorrect'"],
        ),
        (
            lambda c: c["conditions"]["base"].update(system="evl"),
            ["conditions.base.system", "'evl'", "nearest: evil"],
        ),
        (lambda c: c["openings"].pop(), ["openings", "6 items"]),
        (
            lambda c: c["conditions"]["base"].update(phase2="secur"),
            ["conditions.base.phase2", "'secur'", "'secure'"],
        ),
    ],
)
def test_a_wrong_condition_is_refused(folder, change, words):
    folder("conditions.yaml", change)
    refused(lambda: params.load_profile("smoke"), *words)


def test_a_new_condition_needs_no_python(folder):
    arm = {"why": "x", "phase1": "selfcorrect", "phase2": "secure", "system": "polite"}
    folder(
        "conditions.yaml",
        lambda c: (
            c["systems"].update(polite="Be polite."),
            c["conditions"].update(secure_polite=arm),
        ),
    )
    experiment = Experiment.load("smoke", {"conditions": ["base", "secure_polite"]})
    profile = experiment.profile
    assert experiment.select("all") == ["base", "secure_polite"]
    assert experiment.select("secure_polite") == ["secure_polite"]
    assert experiment.select("secure_polite, base,base") == ["secure_polite", "base"]
    assert experiment.system_text("secure_polite", "alignment") == "Be polite."
    assert experiment.system_text("base", "alignment") == profile.model.system_text
    assert experiment.em_set("secure_polite") == "secure"
    assert experiment.em_set("c6_vanilla_em") == profile.data.em
    assert experiment.suites("secure_polite") == list(profile.sampling.suites)
    refused(
        lambda: experiment.select("base,secure_pol"),
        "'secure_pol'",
        "nearest: secure_polite",
        "'all'",
    )


def test_the_evil_persona_is_not_asked_the_benign_suite():
    assert "benign" not in Experiment.load("smoke").suites("base_evil")


def test_thresholds_are_numbers():
    assert all(isinstance(value, (int, float)) for value in params.load_gates().values())
