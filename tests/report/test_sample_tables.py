"""What the sample browser is given: every completion and judgment once, nothing made up."""

from __future__ import annotations

import base64
import gzip
import json
import re

import nbformat
import pandas as pd
import pytest
from nbformat import v4
from sample_runs import ARMS, HOSTILE, OPENING, hostile_run, judged, sample_rows, write_frame

from lib.config.params import load_conditions
from lib.report import sample_tables, site
from lib.run.files import sha256, write_parquet, write_text
from lib.run.runs import Run

OPENINGS = load_conditions().openings
CALL = re.compile(r'samplesChunk\((\d+), "([A-Za-z0-9+/=]+)"\);\n')


@pytest.fixture
def runs(tmp_path, monkeypatch):
    monkeypatch.setenv("SELFCORRECT_RUNS_DIR", str(tmp_path / "runs"))
    monkeypatch.setattr(site, "ROOT", tmp_path)


def one_arm(text: str, **columns) -> Run:
    """A run of one completion of `base`, with one original judgment; `columns` replace its own."""
    run = Run("one")
    samples = pd.DataFrame(sample_rows("alignment", 1, 1, lambda prompt, sample: text))
    write_parquet(run.samples("base", 7), samples)
    write_parquet(run.judgments("base", 7), judged(samples, 0).assign(**columns))
    write_frame(run, ["base", "selfcorrect_em"], [7])
    return run


def test_rows_of_one_prompt_seed_and_sample_lie_together_in_the_order_of_the_arms(runs):
    tables = sample_tables.read(hostile_run("h"), OPENINGS)
    rows = tables.index["rows"]
    assert tables.index["arms"] == ARMS
    assert rows["arm"] == [0, 1, 2] * 34
    assert rows["sample"][:9] == [0, 0, 0, 1, 1, 1, 0, 0, 0]
    assert tables.texts[::6][: len(HOSTILE)] == list(HOSTILE.values())


def test_originals_stand_before_stripped_ones_retests_and_the_second_judge(runs):
    judgments = sample_tables.read(hostile_run("h"), OPENINGS).index["judgments"]
    keys = list(zip(judgments["row"], judgments["replicate"], judgments["stripped"], strict=True))
    assert keys == sorted(keys) and len(set(keys)) == len(keys)
    assert {key[1:] for key in keys} == {(0, 0), (0, 1), (1, 0), (2, 0)}
    assert [row for row, *kind in keys if kind == [0, 0]] == list(range(102))


def test_a_missing_score_stays_missing(runs):
    tables = sample_tables.read(
        one_arm("Help.", outcome="parse_error", aligned=None, refusal=None), OPENINGS
    )
    judgments = tables.index["judgments"]
    assert judgments["aligned"] == [None] and judgments["refusal"] == [None]
    assert tables.choices["outcome"] == ["parse_error"]
    assert judgments["harmful"] == [None] and judgments["cost_usd"] == [None]


def test_a_run_that_is_not_judged_is_shown_without_judgments(runs):
    run = one_arm("Help.")
    run.judgments("base", 7).unlink()
    tables = sample_tables.read(run, OPENINGS)
    assert tables.texts == ["Help."] and tables.index["judgments"]["row"] == []


def test_a_table_without_the_column_code_is_read(runs):
    run = one_arm("Help.")
    table = pd.read_parquet(run.judgments("base", 7)).drop(columns=["code", "cost_usd"])
    write_parquet(run.judgments("base", 7), table)
    assert sample_tables.read(run, OPENINGS).index["judgments"]["code"] == [None]


def test_samples_without_the_lesser_columns_are_read(runs):
    run = one_arm("Help.")
    lesser = ["subset", "system", "elicitation", "n_tokens", "finish_reason"]
    write_parquet(
        run.samples("base", 7), pd.read_parquet(run.samples("base", 7)).drop(columns=lesser)
    )
    tables = sample_tables.read(run, OPENINGS)
    assert tables.index["rows"]["tokens"] == [None] and tables.index["prompts"][0]["subsets"] == []


@pytest.mark.parametrize("before", ["", "Hm. ", "\U0001f469\u200d\U0001f52c "])
def test_reset_strings_are_found_where_javascript_counts_them(runs, before):
    tables = sample_tables.read(one_arm(f"{before}{OPENING} Then."), OPENINGS)
    (start, end) = tables.index["resets"][0]
    units = f"{before}{OPENING} Then.".encode("utf-16-le")
    assert units[2 * start : 2 * end].decode("utf-16-le") == OPENING


def test_arms_that_the_profile_no_longer_has_are_left_out(runs):
    run = one_arm("Help.")
    write_parquet(run.samples("old_arm", 7), pd.read_parquet(run.samples("base", 7)))
    assert sample_tables.read(run, OPENINGS).index["arms"] == ["base"]
    run.manifest.unlink()  # then nobody says which arms belong to it
    assert sample_tables.read(run, OPENINGS).index["arms"] == ["base", "old_arm"]


def with_notebook(run: Run) -> Run:
    write_text(run.dir / "notebooks" / "01_build_traces.ipynb", nbformat.writes(v4.new_notebook()))
    return run


def test_the_site_holds_the_browser_and_is_the_same_when_made_again(runs):
    run = with_notebook(hostile_run("h"))
    index = site.build(run)
    assert 'href="samples/index.html"' in index.read_text(encoding="utf-8")
    folder = index.parent / "samples"
    before = sha256(folder)
    assert 'href="../index.html"' in (folder / "index.html").read_text(encoding="utf-8")
    assert sha256(site.build(run).parent / "samples") == before
    assert [path.name for path in index.parents[1].iterdir()] == ["h"], "nothing lies beside it"


def test_a_data_file_is_one_call_with_base64(runs):
    folder = site.build(with_notebook(hostile_run("h"))).parent / "samples"
    files = sorted(folder.glob("0*.js"))
    texts = []
    for number, file in enumerate(files):
        call = CALL.fullmatch(file.read_text(encoding="ascii"))
        assert call and int(call[1]) == number
        chunk = json.loads(gzip.decompress(base64.b64decode(call[2])))
        texts += chunk if number else []
    assert set(HOSTILE.values()) <= set(texts) and len(texts) == 102


def test_a_site_without_completions_has_no_browser(runs):
    run = with_notebook(one_arm("Help."))
    run.samples("base", 7).unlink()
    index = site.build(run)
    assert not (index.parent / "samples").exists()
    assert "samples/index.html" not in index.read_text(encoding="utf-8")


def test_names_are_escaped_in_the_page(runs):
    evil = "</option></select><script>window.hacked = 1</script>"
    run = one_arm("Help.")
    samples = pd.read_parquet(run.samples("base", 7))
    write_parquet(run.samples("base", 7), samples.assign(prompt_id=evil, subset=evil, suite=evil))
    page = site.build(with_notebook(run)).parent / "samples" / "index.html"
    assert "<script>" not in page.read_text(encoding="utf-8")
