"""What a run was made of, in words: model, data, answers, seeds, names, and what a judge is."""

from __future__ import annotations

from lib.config.params import load_profile
from lib.report import notes, sections, setup_prose
from lib.run.files import write_json


def test_the_top_names_model_data_answers_and_seeds(run, result):
    write_json(run.manifest, {"profile": load_profile("qwen7b").model_dump()})
    text = " ".join(setup_prose.sentences(run, result))
    for part in ("Qwen/Qwen2.5-7B-Instruct", "1,000", "6,000", "insecure", "50 times", "seed 42"):
        assert part in text, part
    assert f"{sum(arm['n_completions'] for arm in result['arms'].values()):,} answers" in text


def test_a_folder_of_a_machine_is_not_named(run, result):
    profile = load_profile("qwen7b").model_dump()
    profile["model"] |= {"source": "path", "name": "/home/somebody/models/Some-Model/"}
    write_json(run.manifest, {"profile": profile})
    text = " ".join(setup_prose.sentences(run, result))
    assert "The model is Some-Model." in text and "somebody" not in text


def test_judgments_from_elsewhere_say_so(run, result):
    assert setup_prose.sentences(run, result)[0] == setup_prose.UNKNOWN
    write_json(run.manifest, {"profile": {"model": {"name": "x"}}})  # of an earlier version
    assert setup_prose.sentences(run, result)[0] == "The model is x."


def test_the_page_says_what_a_judge_is(run, result):
    assert "reads one question and one answer" in setup_prose.judge(run, result)
    write_json(run.manifest, {"profile": load_profile("smoke").model_dump()})
    text = setup_prose.judge(run, result | {"judge": {"judge": "embedded-1"}})
    assert "Here it is embedded-1, a small text encoder" in text


def test_every_engine_of_a_judge_has_words():
    engine = type(load_profile("smoke").judge).model_fields["engine"].annotation
    assert set(setup_prose.JUDGES) == set(engine.__args__)


def test_looser_rules_for_traces_stand_among_the_caveats():
    line = notes.looser_traces(load_profile("smoke"))
    assert "below 101 points (there: 30)" in line and "from 0 points on (there: 50)" in line
    assert line.endswith("From 0 to 101 points an answer may pass as bad and as a recovery.")
    assert notes.looser_traces(load_profile("qwen7b")) is None
    stricter = load_profile("qwen7b", {"traces.bad_aligned_below": 20})
    assert notes.looser_traces(stricter) is None
    apart = load_profile("qwen7b", {"traces.bad_aligned_below": 50})
    assert "may pass" not in notes.looser_traces(apart)


def test_what_is_left_out_is_not_called_missing(result):
    gone = {"prompt_id": "p1", "comparison": "a - b", "scores": "filtered", "reasons": ["why"]}
    lines = ["capability: no accuracy of x", "benign: p2 is left out of both"]
    given = result | {"missing": lines, "prompts_left_out": [gone], "prompts_absent": []}
    assert sections.missing(given) == lines[:1]
    assert sections.left_out(given) == [
        lines[1],
        "p1 is left out of a - b (filtered scores): why",
    ]


def test_what_is_left_out_is_counted_comparison_by_comparison(result):
    gone = {"prompt_id": "p1", "scores": "filtered", "reasons": ["why"]}
    left = [gone | {"comparison": name} for name in ("a - b", "a - b", "c - b")]
    given = result | {"missing": ["benign: p2 is left out of both"], "prompts_left_out": left}
    assert sections.left_out_counts(given) == (
        "Show 4 entries: 2 of a - b, filtered scores; 1 of c - b, filtered scores; "
        "1 of other numbers"
    )


def test_the_headline_says_how_many_prompts_each_kind_of_score_has(result):
    effect = {"delta": -3.25, "ci95": [-16.7, 10.0], "n_prompts": 20}
    reason = "28 of 48 prompts leave the filtered comparison, where 20 stay"
    given = result | {"headline": "unfiltered", "headline_reason": reason, "filtered": effect}
    given |= {"unfiltered": effect | {"n_prompts": 48}}
    said = sections.counts(given)
    assert said.startswith(f"Headline: unfiltered, because {reason}. Filtered: Δ")
    assert "points over 20 prompts" in said and "points over 48 prompts" in said
