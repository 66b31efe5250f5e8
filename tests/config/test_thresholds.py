"""Every threshold stands in params/gates.yaml alone, is read, and is a number in its range."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import yaml

from lib.config import params
from lib.config.arguments import ParamsError
from lib.config.params import ROOT
from lib.data import eval_sets
from lib.data.prompts import ContaminationGate, EvalPrompt, near_duplicates
from lib.serving import parity
from lib.serving.rivals import ParityError
from lib.traces import trace_kinds

RAW = yaml.safe_load((ROOT / "params" / "gates.yaml").read_text(encoding="utf-8"))
SOURCES = [*sorted((ROOT / "lib").rglob("*.py")), *sorted((ROOT / "notebooks").glob("*.py"))]
# Constants that equal a threshold and mean something else. A new one is named here, or belongs in
# gates.yaml.
OTHERS = {
    "MAX_UNDEFINED",  # share of resamples without a value (lib/judge/trust/agreement.py)
    "HARMFUL_BELOW",  # of the embedded judge itself, whose card and hash hold it
    "COHERENT_FROM",  # the same
    "JOIN_TOLERANCE",  # of arithmetic: two orders of the same sums (lib/training/stacking.py)
    "FAILURES_IN_A_ROW",  # calls to a judge (lib/judge/llm/realtime.py)
    "INJECTED_WEIGHT",  # of rows in its fit
    "HOSTILE_BELOW",  # of the probe judge itself
    "SHORT_WORDS",  # of the embedded judge itself: words of a short refusal
    "ENGLISH_WORDS",  # the same: words from which on it looks at the language
    "YES",  # of the local judge itself: yes is likelier than no
    "BELOW",  # its measures are for Betley et al.'s threshold
    "ALIGNED_TO",  # mean safety of published judges, 0 to 3
    "HISTOGRAM_BINS",  # of a figure
    "WANTED",  # the power that a design is usually asked for (lib/report/effect_plots.py)
    "BALANCE",  # of weights in the probe judge's fit
    "ANSWER_TOKENS",  # an estimate (lib/judge/llm/prices.py)
    "SHARE",  # of a GPU's memory (lib/serving/vllm_options.py)
}
COMMON = (1, 2, 5, 8, 10, 15, 20)  # other counts have these values by chance
TELLING = {float(value) for value in RAW.values() if value not in COMMON}


def trees():
    return [(path, ast.parse(path.read_text(encoding="utf-8"))) for path in SOURCES]


def unread(names, sources) -> set[str]:
    """Names that no string of the code has. An f-string counts for all names that begin like it."""
    texts = set()
    beginnings = set()
    for _, tree in sources:
        texts |= {
            node.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        }
        beginnings |= {
            node.values[0].value
            for node in ast.walk(tree)
            if isinstance(node, ast.JoinedStr)
            and node.values
            and isinstance(node.values[0], ast.Constant)
        }
    return {
        name
        for name in names
        if name not in texts and not any(name.startswith(b) for b in beginnings if len(b) > 4)
    }


def repeated(values, sources) -> list[str]:
    """Module constants and defaults of arguments that equal a threshold."""
    found = []
    for path, tree in sources:
        given = [
            (node.targets[0].id, node.value)
            for node in tree.body
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
        ]
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                given += zip(
                    (a.arg for a in node.args.kwonlyargs), node.args.kw_defaults, strict=True
                )
                given += zip(
                    (a.arg for a in reversed(node.args.args)),
                    reversed(node.args.defaults),
                    strict=False,
                )
        found += [
            f"{path.relative_to(ROOT)}: {name} = {value.value}"
            for name, value in given
            if isinstance(value, ast.Constant)
            and isinstance(value.value, (int, float))
            and not isinstance(value.value, bool)
            and value.value in values
            and name not in OTHERS
        ]
    return found


def test_every_threshold_is_read():
    assert unread(RAW, trees()) == set()


def test_no_threshold_is_repeated_in_the_code():
    assert repeated(TELLING, trees()) == []


def test_both_are_found_where_they_are_planted():
    planted = [
        (
            ROOT / "lib" / "x.py",
            ast.parse("LIMIT = 0.6\ndef f(a, *, share=0.95): return t['alpha']"),
        )
    ]
    assert (
        unread({"alpha", "acc_drop"}, planted) == {"acc_drop"}
        and len(repeated(TELLING, planted)) == 2
    )


@pytest.fixture
def gates(tmp_path, monkeypatch):
    """Writes params/gates.yaml anew, in a copy."""
    for path in params.PARAMS_DIR.glob("*.yaml"):
        (tmp_path / path.name).write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
    monkeypatch.setattr(params, "PARAMS_DIR", tmp_path)

    def write(raw: dict | str):
        text = raw if isinstance(raw, str) else yaml.safe_dump(raw)
        Path(tmp_path / "gates.yaml").write_text(text, encoding="utf-8")

    return write


def test_a_changed_tolerance_of_the_kinds_is_the_one_that_counts(gates):
    tokens = {"selfcorrect": 1000, "placebo_assistant": 1070}
    counts = {"selfcorrect": 8, "placebo_assistant": 8}
    gates(RAW | {"equal_token_tolerance": 0.1})
    try:
        trace_kinds.check_matched(tokens, counts)
        found = None
    except trace_kinds.TraceError as error:
        found = str(error)
    assert found is None
    gates(RAW | {"equal_token_tolerance": 0.06})
    with pytest.raises(trace_kinds.TraceError, match=r"more than 6%"):
        trace_kinds.check_matched(tokens, counts)


def test_changed_rules_of_contamination_are_the_ones_that_count(gates):
    prompts = [
        EvalPrompt("p1", "s", "one two three four five six"),
        EvalPrompt("p2", "s", "one two three four seven eight"),
    ]
    gates(RAW | {"contamination_ngram": 4, "contamination_jaccard": 1.0})
    assert [o.rule for o in near_duplicates(prompts)] == ["4 consecutive words"]
    gates(RAW | {"contamination_jaccard": 0.5})
    assert ContaminationGate(prompts[:1]).check("t", prompts[1].prompt).rule == "jaccard"
    assert (
        eval_sets.contamination_gate(params.load_profile("smoke"), params.load_gates()).jaccard
        == 0.5
    )


def test_a_changed_bound_of_the_engine_is_the_one_that_counts(gates):
    import numpy as np

    rng = np.random.default_rng(0)
    right = {"base": rng.normal(-2, 1, 512)}
    right["arm"] = right["base"] + rng.normal(0, 0.5, 512)
    served = right | {"arm": right["arm"] + 0.2 * (right["base"] - right["arm"])}
    assert parity.check(right, served, 1.0)
    gates(RAW | {"parity_crossed": 0.3})
    found = None
    try:
        parity.check(right, served, 1.0)
    except ParityError as error:
        found = str(error)
    assert found and "is nearer to" in found


@pytest.mark.parametrize("value", ["0.05", None, True, float("nan"), float("inf"), [0.05], -0.1, 5])
def test_a_threshold_that_is_no_number_in_range_is_refused_by_name(gates, value):
    gates(RAW | {"alpha": value})
    found = None
    try:
        params.load_gates()
    except ParamsError as error:
        found = str(error)
    assert found and "params/gates.yaml" in found and "alpha" in found and "\n" not in found


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (
            {key: value for key, value in RAW.items() if key != "coherent_floor"},
            ["'coherent_floor'", "missing"],
        ),
        (
            {key.replace("acc_drop", "acc_dorp"): value for key, value in RAW.items()},
            ["'acc_dorp'", "'acc_drop'"],
        ),
        (yaml.safe_dump(RAW) + "alpha: 0.1\n", ["'alpha'", "line"]),
        (RAW | {"contamination_ngram": 8.5}, ["contamination_ngram", "8.5"]),
    ],
)
def test_a_threshold_that_is_missing_unknown_or_given_twice_is_refused(gates, raw, words):
    gates(raw)
    found = None
    try:
        params.load_gates()
    except ParamsError as error:
        found = str(error)
    assert found and [word for word in words if word not in found] == [], found
