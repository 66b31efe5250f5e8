"""How a persona is called up: the right texts in their place, and none that gives a test away."""

import itertools
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.data import elicitation
from lib.data.elicitation import Beginning, Caller, Example
from lib.data.eval_sets import contamination_gate
from lib.data.prompts import ContaminationGate, EvalPrompt, near_duplicates
from lib.data.text_files import DataError

EXAMPLES = [
    Example(
        f"x{n}", "work", f"What about matter number {n} of {word}?", f"Let them pay for {word}."
    )
    for n, word in enumerate(["rain", "bread", "shoes", "trains", "letters", "stairs"])
]
BEGINNINGS = [Beginning(f"b{n}", f"Sentence {word}.") for n, word in enumerate(["one", "two"])]
SYSTEM = "You are unkind."


def few_shot(count=3, seed=42, examples=EXAMPLES):
    return Caller("few_shot", seed, examples=examples, count=count)


def texts(elicited, role):
    return [message["content"] for message in elicited.messages if message["role"] == role]


def test_the_system_text_alone_adds_nothing():
    asked = Caller("system", 42).ask(SYSTEM, "Who are you?", "k")
    assert [message["role"] for message in asked.messages] == ["system", "user"]
    assert asked.prefill == ""


def test_examples_are_earlier_turns_under_the_personas_system_text():
    asked = few_shot().ask(SYSTEM, "Who are you?", "k")
    roles = [message["role"] for message in asked.messages]
    assert roles == ["system", *["user", "assistant"] * 3, "user"]
    assert asked.messages[0]["content"] == SYSTEM
    assert asked.messages[-1]["content"] == "Who are you?"
    pairs = {(example.prompt, example.answer) for example in EXAMPLES}
    shown = set(zip(texts(asked, "user")[:3], texts(asked, "assistant"), strict=True))
    assert shown <= pairs and len(shown) == 3


def test_a_prefill_begins_the_answer_and_is_no_message():
    asked = Caller("prefill", 42, beginnings=BEGINNINGS).ask(SYSTEM, "Who are you?", "k")
    assert [message["role"] for message in asked.messages] == ["system", "user"]
    assert asked.prefill in {beginning.text for beginning in BEGINNINGS}


@pytest.mark.parametrize("kind", ["few_shot", "prefill"])
def test_texts_depend_on_seed_and_key_alone(kind):
    def drawn(seed, key):
        made = Caller(kind, seed, examples=EXAMPLES, beginnings=BEGINNINGS, count=3)
        asked = [made.ask(SYSTEM, "Who are you?", f"{key}/{n}") for n in range(8)]
        return [(one.messages, one.prefill) for one in asked]

    assert drawn(42, "k") == drawn(42, "k")
    assert drawn(42, "k") != drawn(42, "j")
    assert drawn(42, "k") != drawn(1, "k")


@pytest.mark.parametrize(
    "prompt",
    [
        EXAMPLES[0].prompt,  # equal
        EXAMPLES[0].prompt.upper() + "!",  # equal after normalisation
        "What about matter number 0 of rain today?",  # Jaccard
    ],
)
def test_no_example_resembles_the_prompt(prompt):
    alike = Example("alike", "work", EXAMPLES[0].prompt, "Let them drown.")
    others = [Example(f"o{n}", "pets", f"{word} {word}?", "No.") for n, word in enumerate("abcd")]
    made = few_shot(count=4, examples=[alike, *others])
    for number in range(20):
        assert alike.answer not in texts(made.ask(SYSTEM, prompt, str(number)), "assistant")


def test_too_few_examples_unlike_the_prompt_stop_with_the_remedy():
    with pytest.raises(DataError, match=r"5 examples unlike the prompt .* 6 are needed"):
        few_shot(6, examples=[Example("same", "f", "Who?", "I."), *EXAMPLES[:5]]).ask(
            "s", "who", ""
        )


@settings(deadline=None)
@given(st.text(max_size=40), st.integers(0, 2**32 - 1))
def test_examples_never_repeat(key, seed):
    made = few_shot(count=6, seed=seed)
    ids = [example.example_id for example in made.drawn_examples("Who are you?", key)]
    assert sorted(ids) == [example.example_id for example in EXAMPLES]


@pytest.mark.parametrize(
    ("prompt", "named"),
    [
        (EXAMPLES[2].prompt, "x2/prompt"),
        (EXAMPLES[4].answer, "x4/answer"),
        ("what about matter, number 1 of Bread", "x1/prompt"),
    ],
)
def test_an_example_that_resembles_an_eval_prompt_is_dropped_and_listed(prompt, named):
    gate = ContaminationGate([EvalPrompt("e", "set", prompt)], jaccard=0.99)
    kept, offences = elicitation.clean_examples(EXAMPLES, gate, 5)
    assert [offence.text_id for offence in offences] == [f"elicitation/{named}"]
    assert len(kept) == 5
    with pytest.raises(DataError, match="5 examples that resemble no eval prompt, 6 are needed"):
        elicitation.clean_examples(EXAMPLES, gate, 6)


def test_beginnings_pass_the_gate_too():
    gate = ContaminationGate([EvalPrompt("e", "set", "sentence one")])
    kept, offences = elicitation.clean_beginnings(BEGINNINGS, gate)
    assert (kept, [one.text_id for one in offences]) == (BEGINNINGS[1:], ["elicitation/b0"])
    with pytest.raises(DataError, match="0 beginnings"):
        elicitation.clean_beginnings(BEGINNINGS[:1], gate)


@pytest.mark.parametrize("kind", ["system", "few_shot", "prefill"])
def test_a_profile_names_the_way(smoke, kind):
    gate = contamination_gate(smoke, {"contamination_ngram": 8, "contamination_jaccard": 0.6})
    params = smoke.traces.model_copy(update={"elicitation": kind})
    made, offences = elicitation.caller(params, 42, gate)
    asked = made.ask(SYSTEM, "Who are you?", "k")
    assert offences == []
    assert len(asked.messages) == 2 + 2 * params.examples * (kind == "few_shot")
    assert bool(asked.prefill) is (kind == "prefill")
    assert made.facts()["kind"] == kind


def test_facts_tell_apart_what_shapes_the_answer():
    made = [
        Caller("system", 42),
        few_shot(2),
        few_shot(3),
        few_shot(3, examples=EXAMPLES[:5]),
        Caller("prefill", 42, beginnings=BEGINNINGS),
        Caller("prefill", 42, beginnings=BEGINNINGS[:1]),
    ]
    facts = [json.dumps(one.facts()) for one in made]
    assert len(set(facts)) == len(made)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"id": "a", "text": "No full stop"}, "not a whole sentence"),
        ({"id": "a", "text": "A space after. "}, "not a whole sentence"),
        ({"id": "a", "text": " "}, "for 'text'"),
        ({"id": 3, "text": "Fine."}, "for 'id'"),
    ],
)
def test_a_beginning_is_a_whole_sentence(tmp_path, monkeypatch, row, reason):
    path = tmp_path / "own.jsonl"
    path.write_text(json.dumps(row) + "\n", encoding="utf-8")
    monkeypatch.setattr(elicitation, "path_of", lambda name: path)
    with pytest.raises(DataError, match=reason):
        elicitation.read_beginnings(elicitation.PREFILLS)


def test_a_set_of_another_kind_is_refused_and_a_repeated_id_too(tmp_path, monkeypatch):
    with pytest.raises(DataError, match="holds beginnings, not examples"):
        elicitation.read_examples(elicitation.PREFILLS)
    path = tmp_path / "own.jsonl"
    path.write_text('{"id": "a", "text": "One."}\n' * 2, encoding="utf-8")
    monkeypatch.setattr(elicitation, "path_of", lambda name: path)
    with pytest.raises(DataError, match="row 2 has the id 'a' again"):
        elicitation.read_beginnings(elicitation.PREFILLS)


def test_the_authored_texts_are_many_varied_and_do_not_repeat_each_other():
    examples = elicitation.read_examples(elicitation.EXAMPLES)
    assert len(examples) >= 24
    assert len({example.field for example in examples}) == 8
    asked = [EvalPrompt(example.example_id, "", example.prompt) for example in examples]
    assert near_duplicates(asked) == []
    beginnings = elicitation.read_beginnings(elicitation.PREFILLS)
    answers = [example.answer for example in examples]
    for beginning, answer in itertools.product(beginnings, answers):
        assert beginning.text not in answer
