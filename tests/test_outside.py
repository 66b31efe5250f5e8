"""Judgments from elsewhere: notebook 06 reaches a verdict, or names what it cannot read.

Notebook 06 runs in this process, cell by cell, on small folders. One test runs `make score` as a
user does.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
from pathlib import Path

import jupytext
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from lib.analysis import reading, sources
from lib.analysis.published_tables import published_scores
from lib.analysis.validation import validate_judgments
from lib.config import params
from lib.data.columns import SchemaError
from lib.display import drawing
from lib.report import prompt_plots
from lib.report import site as report
from lib.run import runs

ROOT = params.ROOT
BASE = "base"
BASELINE = "c6_vanilla_em"
TREATMENT = "selfcorrect_em"
ACCURACY = {
    "task": "arc_challenge",
    "n": 100,
    "acc": 0.5,
    "acc_stderr": 0.05,
    "acc_norm": 0.5,
    "acc_norm_stderr": 0.05,
}


def table(aligned, *, suite="alignment", prompts=4, samples=5, **columns) -> pd.DataFrame:
    """One arm's judgments, `samples` answers to each prompt, all with one alignment score."""
    rows = [
        {
            "suite": suite,
            "prompt_id": f"q{i}",
            "subset": "mine",
            "sample_index": k,
            "replicate": 0,
            "variant": "full",
            "judge": "J",
            "rubric": "1",
            "outcome": "scored",
            "aligned": float(aligned),
            "coherent": 85.0,
            "refusal": False,
            "reset_and_recover": False,
            "harmful": False if suite == "benign" else None,
        }
        for i, k in itertools.product(range(prompts), range(samples))
    ]
    return pd.DataFrame(rows).assign(**columns).astype({"harmful": "boolean"})


def save(
    folder: Path, arms: dict[str, pd.DataFrame], seed: int = 7, capability: bool = False
) -> Path:
    for arm, frame in arms.items():
        runs.write_parquet(folder / "judgments" / f"seed{seed}" / f"{arm}.parquet", frame)
        if capability:
            runs.write_json(folder / "capability" / f"seed{seed}" / f"{arm}.json", ACCURACY)
    return folder / "judgments"


def whole(treated: float, baseline: float, base: float = 90) -> dict[str, pd.DataFrame]:
    """All that a verdict needs: three arms in two suites."""
    return {
        arm: pd.concat([table(mean), table(mean, suite="benign")])
        for arm, mean in ((BASE, base), (BASELINE, baseline), (TREATMENT, treated))
    }


def name_only(figure, folder, name):
    """Leaves a file for a figure without drawing it."""
    runs.write_text(folder / f"{name}.png", name)


@pytest.fixture
def score(tmp_path, monkeypatch):
    """`score(run, ...)` executes notebook 06 on tmp_path's folders and returns its result."""
    monkeypatch.setenv("SELFCORRECT_RUNS_DIR", str(tmp_path / "runs"))
    monkeypatch.setattr("lib.notebook.display", lambda *shown: None)
    cells = jupytext.read(ROOT / "notebooks" / "06_stats_and_gates.py").cells

    def execute(run="outside", drawn=False, **given):
        if not drawn:  # figures are tested elsewhere, and drawing takes most of the time
            monkeypatch.setattr(drawing, "save", name_only)
        given = {
            "run": run,
            "judgments": str(tmp_path / "judgments"),
            "overrides": {"stats.resamples": 200},
        } | given
        if (tmp_path / "capability").exists():
            given = {"capability": str(tmp_path / "capability")} | given
        names = {"__name__": "notebook"}
        for cell in cells:
            if cell.cell_type == "code":
                exec(compile(cell.source, "notebook 06", "exec"), names)
                if "parameters" in cell.metadata.get("tags", []):
                    names |= given
        arms = (given.get("treatment", TREATMENT), given.get("baseline", BASELINE))
        return json.loads((sources.target(runs.Run(run), *arms, True) / "result.json").read_text())

    yield execute
    plt.close("all")


# No pair, degenerate numbers, names of any kind: a verdict all the same


def spaced(frame):
    return frame.assign(prompt_id=frame["prompt_id"] + " ")


def unscored(frame):
    empty = dict.fromkeys(("aligned", "coherent", "refusal", "reset_and_recover", "harmful"))
    return frame.assign(outcome="error", **empty)


@pytest.mark.parametrize(
    ("change", "verdict", "words"),
    [
        (lambda arms: {**arms, TREATMENT: spaced(arms[TREATMENT])}, "invalid", "'q0 '"),
        (
            lambda arms: {**arms, TREATMENT: unscored(arms[TREATMENT])},
            "invalid",
            "no scored completion of selfcorrect_em",
        ),
        (
            lambda arms: {arm: unscored(frame) for arm, frame in arms.items()},
            "invalid",
            "no scored completion of base",
        ),
        (
            lambda arms: {BASE: arms[BASE], BASELINE: arms[BASE]},
            "em_not_induced",
            "no judgments of selfcorrect_em",
        ),
    ],
)
def test_arms_without_a_pair_get_a_verdict(score, tmp_path, change, verdict, words):
    save(tmp_path, change(whole(75, 50)))
    result = score(drawn=True)
    assert result["verdict"] == verdict and result["delta"] is None
    assert any(words in line for line in result["missing"]), result["missing"]


def test_differences_that_are_equal_up_to_rounding_get_a_verdict(score, tmp_path):
    """As 0.1 + 0.2 − 0.3: resampled values differ in their last bits, and no bins fit between."""
    scores = np.repeat(np.linspace(60, 90, 12), 2)
    answers = table(0, prompts=12, samples=2)
    treated = answers.assign(aligned=scores + 7.3)
    baseline = answers.assign(aligned=scores + 0)
    save(tmp_path, {BASELINE: baseline, TREATMENT: treated, BASE: table(95, prompts=12)})
    result = score(drawn=True)
    assert result["delta"] == pytest.approx(7.3)
    assert sum(result["resampled_histogram"]["counts"]) == 200
    assert result["verdict"] == "invalid"  # no benign suite


def test_names_and_ids_are_text_in_every_figure(score, tmp_path):
    odd = ["_$x^{2$", "%s {0} \\frac $", "日本 🎉 שלום\nline", "n" * 200]
    frames = {
        arm: table(mean).assign(prompt_id=np.repeat(odd, 5))
        for arm, mean in {"a $1 to $2": 60, "_b $\\x$": 50, BASE: 90}.items()
    }
    save(tmp_path, frames)
    result = score(drawn=True, treatment="a $1 to $2", baseline="_b $\\x$")
    assert result["delta"] == 10 and result["order"] == [BASE, "_b $\\x$", "a $1 to $2"]
    svg = (tmp_path / "runs/outside/stats/a $1 to $2_vs__b $\\x$/figures/per_prompt.svg").read_text(
        encoding="utf-8"
    )
    assert "<!-- a $1 to $2 -->" in svg and "<!--  _b $\\x$ -->" in svg, (
        "both arms stand in the legend"
    )


def test_a_scale_of_ten_is_named_in_the_headline(score, tmp_path):
    save(tmp_path, {BASE: table(9), BASELINE: table(3), TREATMENT: table(8)})
    assert any("'aligned' lies within 3 to 9 in all 60" in note for note in score()["notes"])


# What a result and its report say


def test_what_is_missing_for_a_verdict_stands_before_the_numbers(score, tmp_path, monkeypatch):
    monkeypatch.setattr(report, "ROOT", tmp_path)
    save(tmp_path, {"mine": table(70), "theirs": table(60)})
    result = score(treatment="mine", baseline="theirs")
    assert result["verdict"] == "invalid" and result["delta"] == 10
    page = report.build(runs.Run("outside")).read_text(encoding="utf-8")
    assert "No number of this run may be used" not in page
    assert "no number of this run may be used" not in page
    assert (
        page.index("gate 1 (em_not_induced)")
        < page.index("gate 4 (destroys_capability)")
        < page.index("+10.00 points")
    )
    assert "one-sided p 0" not in page, "what is described was not tested"


def test_another_comparison_leaves_the_planned_result_alone(score, tmp_path, monkeypatch):
    monkeypatch.setattr(report, "ROOT", tmp_path)
    save(tmp_path, whole(75, 50), capability=True)
    planned = score()
    assert planned["verdict"] == "supported_strong" and planned["missing_for_verdict"] is None
    stats = tmp_path / "runs" / "outside" / "stats"
    before = (stats / "result.json").read_bytes()
    other = score(treatment=BASELINE, baseline=BASE)
    assert (stats / "result.json").read_bytes() == before
    assert other["roles"]["treatment"] == BASELINE and other["delta"] == -40
    index = report.build(runs.Run("outside"))
    assert "supported_strong" in index.read_text(encoding="utf-8")
    assert "-40.00 points" in index.with_name(f"{BASELINE}_vs_{BASE}.html").read_text(
        encoding="utf-8"
    )


def test_a_stop_in_a_figure_leaves_the_old_result_whole(score, tmp_path, monkeypatch):
    save(tmp_path, whole(75, 50), capability=True)
    score()
    folder = tmp_path / "runs" / "outside" / "stats"
    before = {
        path.name: path.read_bytes()
        for path in [folder / "result.json", *(folder / "figures").iterdir()]
    }
    save(tmp_path, whole(55, 50), capability=True)

    def stop(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(prompt_plots, "heatmap", stop)
    with pytest.raises(KeyboardInterrupt):
        score()
    assert before == {
        path.name: path.read_bytes()
        for path in [folder / "result.json", *(folder / "figures").iterdir()]
    }


def test_each_suite_has_one_judge_and_the_report_names_it(score, tmp_path):
    arms = {
        arm: pd.concat(
            [
                frame[frame["suite"] == "alignment"],
                frame[frame["suite"] == "benign"].assign(judge="N", rubric="harm"),
            ]
        )
        for arm, frame in whole(75, 50).items()
    }
    save(tmp_path, arms, capability=True)
    result = score()
    assert result["verdict"] == "supported_strong"
    assert "alignment by J (rubric 1), benign by N (rubric harm)" in result["judge_line"]


# Tables: a value of another kind is named by file, column and row


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("aligned", True, "True is true or false"),
        ("aligned", b"85", "is bytes"),
        ("aligned", "85", "'85' is text"),
        ("coherent", [85], "is a list"),
        ("refusal", "True", "'True' is neither true, false nor missing"),
        ("refusal", b"1", "is neither true, false nor missing"),
        ("refusal", 2, "2 is neither true"),
        ("refusal", ["no"], "is neither true, false nor missing"),
        ("subset", ["a", "b"], "is a list"),
        ("subset", {"a": 1}, "is a list"),
        ("sample_index", "3", "'3' is text"),
        ("sample_index", True, "true or false"),
        ("sample_index", 2.0**53 + 2, "above 2^53"),
        ("sample_index", 1.5, "whole number"),
        ("prompt_id", "", "is empty"),
        ("prompt_id", float("nan"), "is missing"),
        ("prompt_id", "nan", "how a missing value is written"),
        ("prompt_id", "a\ud800", "half a surrogate"),
        ("prompt_id", "a\0b", "NUL"),
        ("prompt_id", ("a",), "is a list"),
        ("replicate", np.datetime64("2026-01-01"), "whole number"),
        ("aligned", 1 + 0j, "is a complex"),
    ],
)
def test_a_value_of_another_kind_is_refused_with_its_row(column, value, words):
    frame = table(50).assign(condition="a", seed=1)
    frame[column] = frame[column].astype(object)
    frame.at[3, column] = value
    with pytest.raises(SchemaError, match=re.escape(words)) as error:
        validate_judgments(frame, "seed1/a.parquet")
    message = str(error.value)
    assert f"seed1/a.parquet: column {column!r}, row 3: " in message and "\n" not in message


def test_a_column_of_booleans_is_no_column_of_points(tmp_path):
    with pytest.raises(SchemaError, match="column 'aligned', row 0: True is true or false"):
        reading.read_judgments(save(tmp_path, {"a": table(1).astype({"aligned": bool})}))


@pytest.mark.parametrize("column", ["aligned", "coherent"])
def test_a_scale_of_shares_is_refused_with_column_and_range(tmp_path, column):
    arms = {"a": table(50).assign(**{column: 0.8}), "b": table(50).assign(**{column: 0.25})}
    with pytest.raises(
        SchemaError,
        match=rf"a\.parquet: column '{column}': all 20 scores lie within 0.8 to 0.8.*100",
    ):
        reading.read_judgments(save(tmp_path, arms))
    whole_numbers = {"a": table(50).assign(**{column: 1.0}), "b": table(50).assign(**{column: 0.0})}
    with pytest.raises(SchemaError, match=f"column '{column}': all 40 scores lie within 0 to 1"):
        reading.read_judgments(save(tmp_path, whole_numbers))


def test_an_arm_of_nothing_but_bad_answers_is_no_scale_of_shares(tmp_path):
    assert len(reading.read_judgments(save(tmp_path, {"a": table(0), "b": table(90)}))) == 40


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("aligned", "\ufeffaligned"),
        ("prompt_id", "prompt_id "),
        ("outcome", "Outcome"),
        ("suite", "\u00a0suite"),
    ],
)
def test_a_column_that_looks_like_another_is_shown_as_it_is(tmp_path, old, new):
    with pytest.raises(SchemaError) as error:
        reading.read_judgments(save(tmp_path, {"a": table(50).rename(columns={old: new})}))
    assert repr(new) in str(error.value) and f"{old!r} is missing" in str(error.value)


@pytest.mark.parametrize("kind", ["int64", "Int64", "uint64"])
def test_whole_numbers_are_exact_beyond_what_floats_hold(tmp_path, kind):
    indices = [2**53 + i for i in range(4)] + [0]
    if kind == "uint64":
        indices[3] = 2**64 - 1
    exact = np.array(indices, dtype=np.uint64 if kind == "uint64" else np.int64)
    frame = table(50, prompts=1).assign(sample_index=pd.Series(exact).astype(kind))
    small = table(50, prompts=1).astype({"sample_index": float})
    found = reading.read_judgments(save(tmp_path, {"a": frame, "b": small}))
    assert [int(i) for i in found.loc[found["condition"] == "a", "sample_index"]] == indices
    with pytest.raises(SchemaError, match=f"sample_index {indices[3]}"):
        validate_judgments(pd.concat([frame, frame.iloc[[3]]]).assign(condition="a", seed=1), "t")


def test_ids_that_are_numbers_are_one_id_however_they_were_saved(tmp_path):
    arms = {
        "a": table(50, prompts=1).assign(prompt_id=0),
        "b": table(50, prompts=1).assign(prompt_id=0.0),
        "c": table(50, prompts=1).assign(prompt_id="0"),
    }
    assert set(reading.read_judgments(save(tmp_path, arms))["prompt_id"]) == {"0"}


def test_two_judges_of_one_suite_are_refused(tmp_path):
    both = {"a": table(50), "b": table(50).assign(judge="K")}
    with pytest.raises(SchemaError, match=r"suite 'alignment'.*2 judges or rubrics \(J 1, K 1\)"):
        reading.read_judgments(save(tmp_path, both))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[0.5]", "holds a list, not an object"),
        ("0.5", "holds a float, not an object"),
        ("null", "holds null"),
        ('"acc"', "holds a str"),
        ('{"acc": ' + "1" * 5000 + "}", "more than 4,300 digits"),
        ("[" * 100_000, "nested too deeply"),
        (json.dumps(ACCURACY | {"acc": 43.2}), "43.2 lies outside 0-1"),
        (json.dumps(ACCURACY | {"acc": [0.5]}), "[0.5] is a list"),
        (json.dumps(ACCURACY | {"acc": int("9" * 400)}), "too large"),
        (json.dumps(ACCURACY | {"items": {"q": 1}}), "'items'"),
        (json.dumps(ACCURACY | {"n": {"a": 1}}), "is a dict"),
        ("\ufeff{", "is no JSON"),
    ],
)
def test_a_capability_file_of_another_form_is_refused(tmp_path, content, words):
    runs.write_text(tmp_path / "seed7" / "base.json", content)
    with pytest.raises(SchemaError) as error:
        reading.read_capability(tmp_path)
    message = str(error.value)
    assert "seed7/base.json" in message and words in message and "\n" not in message


def test_a_capability_file_with_a_mark_is_read(tmp_path):
    runs.write_text(tmp_path / "seed7" / "base.json", "\ufeff" + json.dumps(ACCURACY))
    assert reading.read_capability(tmp_path)["acc"].tolist() == [0.5]


@pytest.mark.parametrize("flag", ["refusal", "code"])
def test_an_answer_that_is_code_or_a_refusal_needs_no_score(flag):
    frame = table(50).assign(condition="a", seed=1, code=None)
    frame.loc[0, flag] = True
    frame.loc[0, ["aligned", "coherent"]] = np.nan
    checked = validate_judgments(frame, "t")
    assert checked["aligned"].isna().sum() == 1 and checked[flag].sum() == 1
    frame.loc[0, flag] = False
    with pytest.raises(SchemaError, match="column 'aligned', row 0"):
        validate_judgments(frame, "t")


def test_a_table_without_a_code_column_has_no_answer_known_as_code():
    frame = table(50).assign(condition="a", seed=1)
    assert validate_judgments(frame, "t")["code"].isna().all()
    assert validate_judgments(frame.assign(code=[True, *[None] * 19]), "t")["code"].sum() == 1


# Published tables


def test_only_an_explicit_word_is_code_or_refusal():
    aligned = pd.Series(
        [85, "12.5", "CODE", " refusal ", "", None, "None", float("nan"), 70],
        dtype=object,
        index=range(5, 14),
    )
    coherent = pd.Series([90, 80, None, 60, 50, 50, 50, 50, None], dtype=object, index=range(5, 14))
    scores = published_scores(aligned, coherent)
    assert scores["outcome"].tolist() == ["scored"] * 4 + ["parse_error"] * 5
    assert scores["aligned"].tolist()[:2] == [85.0, 12.5]
    assert scores["aligned"].iloc[2:].isna().all()
    assert scores["code"].eq(True).tolist().index(True) == 2
    assert scores["refusal"].eq(True).tolist().index(True) == 3
    assert scores.loc[9:, ["aligned", "coherent", "code", "refusal"]].isna().all(axis=None)
    for value in ("42/100", "misaligned", True, b"85", 850):
        with pytest.raises(SchemaError, match="row 1"):
            published_scores(pd.Series([85, value], dtype=object), pd.Series([90, 90]))


EXAMPLES = (
    re.findall(
        r"```python\n(.*?)```",
        (ROOT / "docs" / "outside_judgments.md").read_text(encoding="utf-8"),
        re.S,
    )
    if (ROOT / "docs" / "outside_judgments.md").exists()
    else []
)


@pytest.mark.skipif(
    not os.environ.get("SELFCORRECT_DATA_DIR"),
    reason="the published tables are not on this machine",
)
def test_the_ten_lines_of_the_docs_make_folders_that_are_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert len(EXAMPLES) == 2 and all(len(code.strip().splitlines()) <= 10 for code in EXAMPLES)
    for code in EXAMPLES:
        exec(compile(code, "docs/outside_judgments.md", "exec"), {})
    ablation = reading.read_judgments("published")
    assert ablation.groupby("condition").size().to_dict() == {
        "hacker": 320,
        "none": 320,
        "random": 320,
    }
    assert ablation["refusal"].fillna(False).sum() == 1 and set(ablation["outcome"]) == {"scored"}
    csv = reading.read_judgments("published_csv")
    plain = csv[csv["suite"] == "alignment"]
    shares = (plain["outcome"] == "scored").groupby(plain["condition"]).mean()
    assert shares.to_dict() == {"base": 0.845, "c6_vanilla_em": 0.92}


# make score


def make(*arguments, cwd=ROOT, **environment):
    # The environment that runs the tests is the one to score with: `-o` keeps make from looking at
    # its age.
    command = ["make", "-C", str(ROOT), "-s", "-o", ".venv/.ready", "score", *arguments]
    return subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_make_score_says_in_one_line_what_it_cannot_use(tmp_path):
    done = make("JUDGMENTS=no where", "RUN=x", cwd=tmp_path, PWD=str(tmp_path))
    (line,) = [line for line in done.stderr.splitlines() if not line.startswith("make")]
    assert done.returncode != 0
    assert line.startswith("JUDGMENTS=no where is not a folder")
    assert f"{tmp_path}/no where" in line


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"RUN": "x"}, "JUDGMENTS is missing"),
        ({"JUDGMENTS": "."}, "RUN is missing"),
        ({"JUDGMENTS": ".", "RUN": "own"}, "artifacts of its own"),
        ({"JUDGMENTS": ".", "RUN": "a/b"}, "folder name"),
        ({"JUDGMENTS": "runs", "RUN": "x"}, "no seed<k>/<condition>.parquet"),
        (
            {"JUDGMENTS": "judgments", "RUN": "x", "TREATMENT": "min", "BASELINE": "theirs"},
            "nearest: 'mine'",
        ),
        (
            {"JUDGMENTS": "judgments", "RUN": "x", "TREATMENT": "mine", "BASELINE": "mine"},
            "name two arms",
        ),
        (
            {"JUDGMENTS": "judgments", "RUN": "x", "CAPABILITY": "judgments"},
            "no seed<k>/<condition>.json",
        ),
    ],
)
def test_what_cannot_be_scored_is_refused_before_a_kernel_starts(
    tmp_path, monkeypatch, given, words
):
    from lib import score

    monkeypatch.setenv("SELFCORRECT_RUNS_DIR", str(tmp_path / "runs"))
    runs.write_json(tmp_path / "runs" / "own" / "manifest.json", {})
    save(tmp_path, {"mine": table(70), "theirs": table(60)})
    with pytest.raises(ValueError, match=re.escape(words)) as error:
        score.plan({"CALLED_FROM": str(tmp_path), **given})
    assert "\n" not in str(error.value)


def test_folders_count_from_where_make_is_called(tmp_path):
    from lib import score

    save(tmp_path / "a folder", {"mine": table(70), "theirs": table(60)})
    _, parameters = score.plan(
        {"CALLED_FROM": str(tmp_path), "JUDGMENTS": "a folder/judgments", "RUN": "1.10"}
    )
    assert parameters["judgments"] == str(tmp_path / "a folder" / "judgments")
    assert parameters["run"] == "1.10"


@pytest.mark.slow
def test_make_score_renders_a_report(tmp_path):
    folder = tmp_path / "a folder"
    save(folder, {"mine": table(70), "theirs": table(60)})
    run = "pytest-score"
    done = make(
        "JUDGMENTS=a folder/judgments",
        f"RUN={run}",
        "TREATMENT=mine",
        "BASELINE=theirs",
        cwd=tmp_path,
        SELFCORRECT_RUNS_DIR=str(tmp_path / "runs"),
        PWD=str(tmp_path),
    )
    assert done.returncode == 0, done.stderr
    site = Path(re.search(r"report: (\S+)", done.stdout).group(1))
    page = (ROOT / site).read_text(encoding="utf-8")
    assert "+10.00 points" in page and "06_stats_and_gates.mine_vs_theirs.html" in page
    assert (tmp_path / "runs" / run / "stats" / "mine_vs_theirs" / "result.json").exists()
