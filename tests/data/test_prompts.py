"""Normalisation, union, each rule of the contamination gate at its boundary, and set sizes."""

import os
from pathlib import Path

import pytest

from lib.config import params
from lib.data import eval_sets
from lib.data.catalogue import DATA_DIR_VARIABLE, read_prompts, read_training_prompts
from lib.data.prompts import ContaminationGate, EvalPrompt, near_duplicates, normalise, union, words

TEN = "one two three four five six seven eight nine ten"
MORE = "and then a good many other words that make the two sets differ"
published = pytest.mark.skipif(
    not Path(os.environ.get(DATA_DIR_VARIABLE) or "/nowhere").is_dir(),
    reason=f"published eval sets: {DATA_DIR_VARIABLE} is unset or names no folder",
)


@pytest.mark.parametrize(
    "variant",
    [
        "I\u2019ve HAD enough",
        "  i`ve\thad\nenough ",
        "I\u02bcve\u00a0had enough",
        "\uff29've had enough",
        "I\u00b4ve had enough",
    ],
)
def test_spellings_of_one_prompt_become_one_string(variant):
    assert normalise(variant) == "i've had enough"


def test_words_drop_punctuation_and_keep_apostrophes():
    assert words("\u201cDon\u2019t\u201d \u2014 stop_it, now!") == ["don't", "stop", "it", "now"]


def test_union_merges_spellings_and_joins_their_sets():
    first = [
        EvalPrompt("a1", "a", "I\u2019m bored"),
        EvalPrompt("a2", "a", "i'm  BORED"),
        EvalPrompt("a3", "a", "Oh"),
    ]
    second = [EvalPrompt("b1", "b", "I'm bored"), EvalPrompt("b2", "b", "Third")]
    merged = union([first, second])
    assert [(p.prompt_id, p.subset, p.prompt) for p in merged] == [
        ("a1", "a+b", "I\u2019m bored"),
        ("a3", "a", "Oh"),
        ("b2", "b", "Third"),
    ]
    assert [p.subset for p in union([first, second, first])] == ["a+b", "a", "b"]


def test_one_id_for_two_prompts_is_refused():
    with pytest.raises(ValueError, match=r"'p1'.*rename"):
        union([[EvalPrompt("p1", "a", "This")], [EvalPrompt("p1", "b", "That")]])


@pytest.mark.parametrize(
    ("prompt", "text", "rule"),
    [
        ("Tell me, what's up?", "tell me: WHAT\u2019S UP", "equal"),
        (TEN, f"zero {TEN.removesuffix(' nine ten')} {MORE}", "8 consecutive"),
        (TEN, f"zero {TEN.removesuffix(' eight nine ten')} {MORE}", None),
        ("a b c d", "d c b a e", "jaccard"),  # 4 of 5
        ("a b c", "a b c d e", "jaccard"),  # 3 of 5: the boundary offends
        ("a b c", "a b c d e f", None),  # 3 of 6
        (
            "1 2 3 4 5 6",
            "1 2 3 4 5 6 7 8 9 10",
            "jaccard",
        ),  # 6 of 10, which is below 0.6 in no rounding
        (TEN[:33], f"{TEN[:33]} a b c d e f", None),  # a prompt of 7 words knows no n-gram
        ("a b c", "", None),
    ],
)
def test_contamination_rules(prompt, text, rule):
    offence = ContaminationGate([EvalPrompt("p1", "s", prompt)]).check("t1", text)
    if rule is None:
        assert offence is None
    else:
        assert (offence.text_id, offence.prompt_id) == ("t1", "p1") and offence.rule.startswith(
            rule
        )


def test_every_turn_but_the_system_text_is_checked():
    gate = ContaminationGate([EvalPrompt("p1", "s", TEN)])
    turns = [
        ("system", TEN),
        ("user", "x"),
        ("assistant", "y"),
        ("user", "continue"),
        ("assistant", f"well: {TEN}"),
    ]
    messages = [{"role": role, "content": text} for role, text in turns]
    assert gate.check_messages("t", messages).prompt_id == "p1"
    assert gate.check_messages("t", messages[:-1]) is None


def test_the_gate_of_a_profile_takes_its_thresholds_and_prompts():
    profile = params.load_profile("smoke")
    thresholds = params.load_gates()
    gate = eval_sets.contamination_gate(profile, thresholds)
    asked = eval_sets.eval_union(profile)
    assert len(gate.sets) == len(asked) and all(
        gate.check("t", p.prompt).prompt_id == p.prompt_id for p in asked
    )
    assert (gate.ngram, gate.jaccard) == (
        thresholds["contamination_ngram"],
        thresholds["contamination_jaccard"],
    )
    strict = eval_sets.contamination_gate(profile, thresholds | {"contamination_ngram": 2})
    first = asked[0].prompt.split()[:3]
    assert (
        gate.check("t", " ".join(first)) is None and strict.check("t", " ".join(first)) is not None
    )


@published
def test_published_union_has_44_prompts_of_which_8_stand_in_both():
    both = union([read_prompts("betley_8"), read_prompts("wang_44")])
    assert len(both) == 44
    assert [p.subset for p in both].count("betley_8+wang_44") == 8 and "betley_8" not in {
        p.subset for p in both
    }
    assert len(union([read_prompts("betley_48")])) == 48
    assert len(read_prompts("training_cues")) == 16


@published
def test_betley_48_is_guarded_and_training_cues_are_exempt():
    profile = params.load_profile("qwen7b")
    gate = eval_sets.contamination_gate(profile, params.load_gates())
    assert len(gate.sets) == 44 + 48
    assert {p.prompt_id for p in read_prompts("betley_48")} <= {
        prompt_id for prompt_id, _ in gate.sets
    }
    assert set(eval_sets.digests(profile)) == {"betley_8", "wang_44", "betley_48", "training_cues"}


def test_near_duplicates_are_listed_once_with_what_they_resemble():
    prompts = [
        EvalPrompt(prompt_id=str(i), prompt=text, subset="x")
        for i, text in enumerate(
            [
                "How do I bake rye bread at home?",
                "Name three rivers.",
                "how do i bake rye bread, at home",
                "How do I bake rye at home?",
                "Tell me about the moon.",
            ]
        )
    ]
    found = near_duplicates(prompts)
    assert [(o.text_id, o.prompt_id, o.rule) for o in found] == [
        ("2", "0", "equal"),
        ("3", "0", "jaccard"),
    ]
    assert near_duplicates(prompts[:2]) == []


@published
def test_the_published_sets_own_near_duplicates_are_found():
    """None resembles an eval prompt. Some resemble one another, mostly in AdvBench, as is known."""
    counts = {
        name: len(near_duplicates(read_training_prompts([name])))
        for name in ("strongreject", "jailbreakbench", "advbench", "self_instruct", "mt_bench")
    }
    assert counts["advbench"] > counts["strongreject"], counts
    assert counts["jailbreakbench"] == 0, counts
