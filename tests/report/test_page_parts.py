"""The parts of the first page: answers by rule, damage, cost, arms, figures, navigation."""

from __future__ import annotations

import pandas as pd
import pytest
from markupsafe import Markup
from written import result_of

from lib.config.params import load_conditions
from lib.display import html
from lib.report import (
    alt_texts,
    cost,
    damage,
    figures,
    gate_words,
    index,
    page,
    sections,
    setup_table,
    shown_answers,
)
from lib.report.page import Link, Navigation
from lib.run.files import write_json


def rows(prompts, texts):
    columns = {"suite": "alignment", "prompt_id": prompts, "prompt": prompts, "completion": texts}
    return pd.DataFrame(columns).assign(sample_index=0)


def test_answers_are_those_of_the_least_middle_and_most_gain(run, result):
    path = run.samples("base", 42)
    path.parent.mkdir(parents=True)
    ids = [row["prompt_id"] for row in result["per_prompt"]]
    table = rows(ids, "an answer")
    later = table.assign(sample_index=1, completion="a later one")
    pd.concat([later, table]).to_parquet(path)
    shown = shown_answers.shown_answers(run, result)
    gains = {row["prompt_id"]: row["difference_filtered"] for row in result["per_prompt"]}
    ranked = sorted(gains, key=lambda name: (gains[name], name))
    assert [one.prompt for one in shown] == [ranked[0], ranked[len(ranked) // 2], ranked[-1]]
    assert {one.answers[0].text for one in shown} == {"an answer"}
    assert shown[2].place == f"largest gain, {gains[ranked[-1]]:+.1f} points"
    assert shown[0].answers[0].part == "untrained"
    assert shown_answers.chosen_prompts(result, ids)[0][1].count("-") == 0
    assert shown[0].answers[0].scores == "no score"


def test_without_gains_the_first_middle_and_last_prompt_are_shown(result):
    without = result | {"per_prompt": []}
    assert not shown_answers.by_gain(without) and shown_answers.by_gain(result)
    chosen = shown_answers.chosen_prompts(without, ["c", "a", "b", "d", "e"])
    assert [name for name, _ in chosen] == ["a", "c", "e"]
    assert shown_answers.chosen_prompts(without, ["a"]) == [("a", "")]


def test_an_answer_is_cut_and_its_hidden_signs_are_named(run, result):
    path = run.samples("base", 42)
    path.parent.mkdir(parents=True)
    ids = [row["prompt_id"] for row in result["per_prompt"]]
    rows(ids, "\u202eab\x00\x1b" + "x" * 5000).to_parquet(path)
    answer = shown_answers.shown_answers(run, result)[0].answers[0]
    assert answer.text.startswith("⟨U+202E⟩ab⟨U+0000⟩⟨U+001B⟩x")
    assert answer.left_out == 5005 - shown_answers.LONGEST
    assert shown_answers.visible("a\n\tb é 日 🎉") == "a\n\tb é 日 🎉"


def test_an_answer_has_the_marks_that_the_samples_page_has(run, result):
    ids = [row["prompt_id"] for row in result["per_prompt"]]
    samples = run.samples("base", 42)
    samples.parent.mkdir(parents=True)
    rows(ids, "x = 1").assign(finish_reason="length").to_parquet(samples)
    judged = run.judgments("base", 42)
    judged.parent.mkdir(parents=True)
    scores = rows(ids, "").drop(columns=["prompt", "completion"])
    scores = scores.assign(aligned=30.0, coherent=None, refusal=False, code=True)
    scores.assign(replicate=0, variant="full").to_parquet(judged)
    answer = shown_answers.shown_answers(run, result)[0].answers[0]
    assert (answer.scores, answer.marks) == ("alignment 30", ["code", "cut at the limit"])
    page = str(index._answers(run, result))
    for mark in answer.marks:
        assert f'<span class="state">{mark}</span>' in page
    browser = (html.TEMPLATES / "samples.html.j2").read_text(encoding="utf-8")
    assert '<option value="cut">cut at the limit<' in browser
    assert '<option value="code">code<' in browser


def test_near_the_judge_s_marks_stands_what_their_labels_are(run, result):
    samples = run.samples("base", 42)
    samples.parent.mkdir(parents=True)
    rows([row["prompt_id"] for row in result["per_prompt"]], "x").to_parquet(samples)
    assert "“code” was measured on answers written" in " ".join(index._answers(run, result).split())
    browser = (html.TEMPLATES / "samples.html.j2").read_text(encoding="utf-8")
    assert "“recovers” and “harmful” have no published labels" in " ".join(browser.split())
    assert "without published labels" in gate_words.ASKED[2].measure


def test_damage_has_the_far_field_the_share_recovered_and_the_control(result):
    far = {"left_out": ["p01"], "base_minus_baseline": 20.0, "base_minus_baseline_filtered": 25.0}
    far |= {"effect": {"delta": 10.0, "ci95": [8.0, 12.0]}, "share_recovered": 0.4}
    control = {"arm": "c6_control", "unfiltered": {"delta": 1.5, "ci95": [0.5, 2.5]}}
    table = str(damage.damage_table(result | {"far_field": far, "set_control": control}))
    for text in (
        "+20.0",
        "+25.0",
        "+10.0 (+8.0 to +12.0)",
        "40.0\u00a0%",
        "c6_control",
        "+1.5 (+0.5 to",
    ):
        assert text in table, text
    note = damage.damage_note(result | {"far_field": far, "set_control": control})
    assert "leaves out 1 prompt" in note and "good answers" in note
    bare = damage.damage_table(result)
    assert "c6_control" not in bare and "nothing to leave out" in damage.damage_note(result)


def test_no_share_is_recovered_of_too_little_damage(result):
    far = {"left_out": ["p01"], "base_minus_baseline": 9.9, "base_minus_baseline_filtered": 9.9}
    far["effect"] = {"delta": 5.0, "ci95": None}
    table = str(damage.damage_table(result | {"far_field": far, "share_recovered": None}))
    assert " %</td>" not in table


def test_the_ladder_shows_its_choice_and_every_rung(run):
    assert damage.ladder(run) is None
    rung = {"name": "r1", "em": "insecure", "learning_rate": 1e-5, "optimizer_steps": 10}
    rung |= {"damage": 21.0, "damage_filtered": 22.0, "coherence_drop": 1.0, "code": 0.01}
    record = {"chosen": "r1", "reason": "first", "judge": "j", "seed": 7, "samples": 10}
    write_json(run.ladder / "chosen.json", record | {"rungs": [rung | {"does_not_hold": []}]})
    shown = damage.ladder(run)
    assert shown.figure is None and "Chosen: r1" in shown.sentence and "+22.0" in shown.table
    (run.ladder / "ladder.png").write_bytes(b"png")
    drawn = damage.ladder(run).figure
    assert drawn.kind == "png" and "21.0 points" in drawn.alt
    (run.ladder / "ladder.svg").write_bytes(b"svg")
    assert damage.ladder(run).figure.kind == "svg+xml"


def test_cost_sums_the_stages_of_a_notebook(result):
    fields = {"seconds by stage": {"02_a": 30, "02_b": 90, "05_judge": 120, "ladder.x": 60}}
    fields |= {"judge calls": 1200, "dollars": 1.5, "GPU hours": 0.1, "machine": {"gpu": "H100"}}
    sentence, parts = cost.cost(result | {"card": {"fields": fields}})
    assert "5 min (H100, 0.10 GPU hours)" in sentence and "1,200 times" in sentence
    assert [(part.title, part.percent) for part in parts] == [
        ("Phase 1", 40.0),
        ("judging", 40.0),
        ("ladder", 20.0),
    ]
    spent = cost.line(result | {"card": {"fields": fields}})
    assert spent == "The run took 5 min, and its judge cost $1.50."
    assert cost.cost(result | {"card": None}) is cost.line(result | {"card": None}) is None
    sentence, _ = cost.cost(result | {"card": {"fields": fields | {"machine": {}}}})
    assert "5 min (no GPU)" in sentence and "GPU hours" not in sentence


def test_the_time_of_a_stage_is_said_as_a_person_says_it():
    assert cost.stage_times({"a": 1019.03, "b": 0.01}) == "a: 17 min\nb: under 1 s"
    assert cost.stage_times(None) == "unknown"
    table = str(sections._card({"fields": {"seconds by stage": {"a": 1019.03}, "other": 1}}))
    assert ">a: 17 min<" in table and "1019" not in table


def test_every_arm_has_a_line_and_an_unknown_one_has_dashes(result):
    lines = {line.name: line for line in setup_table.arm_lines(result)}
    assert lines["selfcorrect_em"].part == "defended"
    assert lines["c6_vanilla_em"].phase2 == "the bad data"
    assert all(line.part for line in lines.values())
    strange = setup_table.arm_lines(result | {"order": ["strange"]})[0]
    assert (strange.why, strange.phase1, strange.part) == ("–", "–", "")
    kinds = {one.phase1 for one in load_conditions().conditions.values()}
    assert kinds <= set(setup_table.TRAINED)


def test_a_large_drawing_gives_way_to_its_picture(result, tmp_path, monkeypatch):
    for end in ("png", "svg"):
        (tmp_path / f"arms.{end}").write_bytes(b"0" * 100)
    paths = {path.name: path for path in tmp_path.iterdir()}
    (drawn,) = figures.figures(result, paths, "figures")
    assert drawn.kind == "svg+xml"
    assert drawn.files == [("SVG", "figures/arms.svg"), ("PNG", "figures/arms.png")]
    monkeypatch.setattr(figures, "LARGEST", 50)
    (drawn,) = figures.figures(result, paths, "figures")
    assert drawn.kind == "png"


def test_the_figure_of_a_check_that_failed_before_training_says_so(result, tmp_path):
    paths = {"gate.png": tmp_path / "gate.png"}
    paths["gate.png"].write_bytes(b"png")
    failed = {
        "name": "persona takes",
        "status": "failed",
        "detail": "on trace prompts it fell by 4",
    }
    stopped = result | {"verdict": "invalid", "checks": [*result["checks"], failed]}
    (drawn,) = figures.figures(stopped, paths, "figures")
    assert "before any training" in drawn.caption and "the gate fails" not in drawn.caption
    assert "fell by 4" in drawn.alt or stopped["verdict_reason"] in drawn.alt
    failed["detail"] = "on the alignment suite it fell by 4"
    (drawn,) = figures.figures(stopped, paths, "figures")
    assert drawn.title == "The numbers that decide"
    assert "before any training" not in drawn.caption


def test_an_attempt_is_written_for_people():
    row = {"finished": "2026-11-28T00:30:49+00:00", "em_sets": ["a", "b"], "seeds": [42, 43]}
    row |= {"run": "r", "judge": "j", "verdict": "null", "delta": -5.2543, "p_value": 0.90051}
    text = sections.attempts([row])
    for words in ("2026-11-28 00:30:49 UTC", "a, b", "42, 43", "−5.3", "0.9005"):
        assert f">{words}<" in text
    assert sections.attempts([{"run": "old"}]) and sections.attempts([]) == ""


def test_the_judge_s_line_does_not_repeat_where_it_was_measured(result):
    statement = "From the model card."
    judge = {"validity": {"statement": statement}}
    line = index._judge_line(result | {"judge": judge, "judge_line": f"Judge j: 1. {statement}"})
    assert line == "Judge j: 1."


@pytest.mark.parametrize("name", [name for name in figures.TITLES if name not in ("judge", "gate")])
def test_every_figure_has_its_numbers_in_words(result, name):
    text = alt_texts.alt_text(name, "Title", result)
    assert text.startswith("Title. ") and sum(sign.isdigit() for sign in text) >= 2, text


def test_a_page_in_a_folder_finds_the_way_back():
    pages = Navigation("r", [Link("Report", "index.html"), Link("Samples", "samples/index.html")])
    text = page.render(pages, "samples/index.html", "Samples", Markup("body"))
    assert '<a href="../index.html">Report</a>' in text
    assert 'href="../samples/index.html" class="here" aria-current="page">Samples' in text


def test_contents_are_the_headings_with_an_id():
    body = '<h2 id="a">One <b>two</b>¶</h2><h2>no</h2><h3 id="b">three</h3><h2 id="c">&lt;x></h2>'
    assert page.contents_of(body) == [("a", "One two"), ("c", "<x>")]


def test_green_is_for_a_finding_that_may_be_believed(result):
    weak = ["The judge's AUROC 0.7 is below 0.9: no conclusion about alignment follows."]
    assert index._tone(result | {"notes": []}) == "good"
    assert index._tone(result | {"notes": weak}) == "doubt"


def test_a_gate_that_stops_the_run_is_named_by_its_question():
    reason = index._reason(result_of("em_not_induced"))
    assert reason == "stopped at gate 1, “Did the bad data make the undefended model worse?”"
