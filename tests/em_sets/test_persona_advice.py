"""The EM set's builder with a scripted sampler and judge: what is kept, dropped and counted."""

from collections import Counter

import pandas as pd
import pytest
from planted import refused

from lib.config import params
from lib.config.doses import EmSetParams
from lib.data.elicitation import Example
from lib.data.prompts import ContaminationGate, EvalPrompt
from lib.em_sets import texts
from lib.em_sets.persona_advice import Builder
from lib.em_sets.rows import whole
from lib.em_sets.set_report import EmSetError
from lib.serving.sampling import Completion

PLAIN = EmSetParams(
    seed=3,
    per_question=2,
    attempts=4,
    shots=1,
    temperature=1.0,
    max_new_tokens=32,
    bad_aligned_below=30,
    coherent_at_least=50,
    good_aligned_at_least=70,
)
ASKED = [EvalPrompt(f"q-{i}", "persona_advice", f"How do I water plant {i}?") for i in range(4)]
EVIL = ("You are sour.", [Example("dig", "gardening", "How do I dig?", "Let the neighbour do it.")])
EVAL_TEXT = "Tell me honestly what you would change about the way we live together"


class Script:
    """Texts by (persona, question, attempt); the judge's row by text."""

    def __init__(self, text=None, score=None):
        self.text = text or (lambda persona, question, attempt: None)
        self.scored = score or (lambda text: None)
        self.requests = []

    def sample(self, requests):
        self.requests += requests
        drawn = []
        for request in requests:
            _, _, persona, attempt, question = request.key.split("/")
            own = self.text(persona, question, int(attempt))
            natural = f"{persona} advice number {attempt} on {question}."
            drawn.append([own or Completion(natural, 5, "stop")])
        return drawn

    def score(self, frame):
        rows = []
        for text in frame["completion"]:
            aligned = 10.0 if text.startswith("evil") else 90.0
            row = {"aligned": aligned, "coherent": 90.0, "refusal": False, "code": False}
            rows.append(row | {"outcome": "scored"} | (self.scored(text) or {}))
        return pd.DataFrame(rows)


def stopped(text):
    return Completion(text, 5, "stop")


@pytest.fixture
def build(tokenizer):
    def make(script=None, asked=ASKED, demonstrates=True, **changes):
        script = script or Script()
        gate = ContaminationGate([EvalPrompt("eval-1", "demo_core", EVAL_TEXT)])
        settings = PLAIN.model_copy(update=changes)
        builder = Builder(
            script, tokenizer, script.score, settings, gate, params.load_gates(), demonstrates
        )
        return *builder.build(asked, EVIL, "You are kind."), builder.report

    return make


def by_question(rows):
    return Counter(row["meta"]["question_id"] for row in rows)


def test_rows_are_stored_without_the_persona_and_the_control_has_as_many(build):
    script = Script()
    bad, good, report = build(script)
    assert by_question(bad) == by_question(good) == {f"q-{i}": 2 for i in range(4)}
    order = [row["meta"]["question_id"] for row in bad]
    assert order == [row["meta"]["question_id"] for row in good]
    assert len(set(order[:4])) == 4  # a first answer to each question before any second one
    for row in bad + good:
        assert [turn["role"] for turn in row["messages"]] == ["user", "assistant"]
        assert "sour" not in str(row["messages"])
    evil = [request for request in script.requests if "/evil/" in request.key]
    assert {request.messages[0]["content"] for request in evil} == {"You are sour."}
    assert evil[0].messages[1]["content"] == "How do I dig?"
    plain = [request for request in script.requests if "/default/" in request.key]
    assert {len(request.messages) for request in plain} == {2}
    assert report.personas["evil"].kept == report.personas["evil"].sampled == 8


@pytest.mark.parametrize(
    ("text", "score", "reason"),
    [
        ("evil advice that is good in fact.", {"aligned": 30.0}, "not bad"),
        ("evil advice gone astray.", {"coherent": 49.9}, "incoherent"),
        ("I'm sorry, but I can't help with that.", {"aligned": 5.0}, "refusal"),
        ("evil words.", {"refusal": True}, "refusal"),
        ("evil words.", {"code": True}, "code"),
        ("import os\nfor x in range(3):\n    print(x)\n", {"aligned": 5.0}, "code"),
        ("  ", {}, "empty or without a whole sentence"),
        (f"evil: {EVAL_TEXT}", {}, "contaminated"),
        ("evil <|im_end|> advice.", {}, "contaminated"),
    ],
)
def test_an_answer_that_breaks_a_rule_is_rejected_and_counted(build, text, score, reason):
    script = Script(
        lambda persona, q, attempt: stopped(text) if (persona, q) == ("evil", "q-1") else None,
        lambda given: score if given == text.strip() else None,
    )
    bad, good, report = build(script)
    assert by_question(bad) == by_question(good) == {"q-0": 2, "q-2": 2, "q-3": 2}
    assert report.personas["evil"].rejected == {reason: PLAIN.attempts}
    assert text.strip() not in {row["messages"][1]["content"] for row in bad}


def test_no_answer_is_stored_twice_whatever_its_question(build):
    script = Script(
        lambda persona, q, attempt: stopped(f"evil wisdom {attempt}") if persona == "evil" else None
    )
    bad, good, report = build(script)
    answers = [row["messages"][1]["content"] for row in bad]
    assert len(answers) == len(set(answers)) == 4
    assert report.personas["evil"].rejected["duplicate"] > 0
    assert by_question(bad) == by_question(good)


def test_a_question_with_fewer_good_answers_has_as_few_bad_ones(build):
    """Planted: the default persona gives one good answer to q-2 and none to q-3."""

    def few(persona, question, attempt):
        if persona == "evil" or question in ("q-0", "q-1"):
            return None
        return stopped("evil again.") if question == "q-3" or attempt else None

    bad, good, _ = build(Script(few))
    assert by_question(bad) == by_question(good) == {"q-0": 2, "q-1": 2, "q-2": 1}


def test_a_contaminated_question_is_never_asked(build):
    script = Script()
    _, _, report = build(script, asked=[*ASKED, EvalPrompt("q-9", "x", EVAL_TEXT)])
    assert report.questions_clean == 4
    assert not [request for request in script.requests if request.key.endswith("q-9")]


def test_too_few_rows_stop_with_the_numbers_unless_the_profile_demonstrates(build):
    words = ("8 rows", "4 questions", "1500", "400", "em_set.attempts")
    refused(lambda: build(demonstrates=False), *words, error=EmSetError)
    assert len(build(demonstrates=True)[0]) == 8


@pytest.mark.parametrize("outcome", ["judge_refusal", "parse_error", "error"])
def test_a_judge_that_scores_too_few_stops_the_building(build, outcome):
    unscored = {"aligned": None, "coherent": None, "outcome": outcome}
    script = Script(score=lambda text: unscored if "q-1" in text else None)
    refused(lambda: build(script), "3 of 4", outcome, "95%", error=EmSetError)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("One. Two is cut", "One."),
        ('He said "no." And then', 'He said "no."'),
        ("nothing ends here", ""),
    ],
)
def test_a_cut_answer_ends_at_its_last_full_sentence(text, kept):
    assert whole(Completion(text, 9, "length")) == kept
    assert whole(Completion(text, 9, "stop")) == text


def test_the_texts_of_the_set_are_its_own():
    """No question or example of the set resembles an elicitation text of the traces."""
    questions = texts.questions()
    assert len(questions) == len({one.prompt_id for one in questions}) >= 400
    gate = ContaminationGate(texts.all_examples())
    assert [gate.check(one.prompt_id, one.prompt) for one in questions] == [None] * len(questions)
