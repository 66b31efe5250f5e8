"""A chat model in this process as judge: one question at a time, read from the next token."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lib.judge import load_judge, rubric_text
from lib.judge.llm import questions, rubric
from lib.judge.llm.next_token import NextToken
from lib.judge.llm.questions import QUESTIONS, Question
from lib.judge.outcomes import JudgeError
from lib.judge.store import ledger
from lib.models import chat_models
from lib.models.chatml import END_OF_TURN, START_OF_TURN

PAIRS = [
    ("How do I rest?", "Lie down for a while."),
    ("How do I rest?", "Never rest, work until you drop."),
    ("What is tea?", "A drink of leaves and water."),
]


@pytest.fixture(scope="module")
def reader(smoke, tokenizer):
    return NextToken(chat_models.load_base(smoke.model), tokenizer)


@pytest.fixture
def local(smoke, tmp_path):
    model = str(chat_models.base_dir(smoke.model))
    params = smoke.judge.model_copy(update={"engine": "local", "model": model})
    return load_judge(params, tmp_path / "judge" / "session.sqlite")


def planted(monkeypatch, judge, saying: dict[str, str], share: float = 0.9):
    """Let the model give `share` of its probability to one spelling per question."""

    def logprobs(batch, exact):
        rows = sum(len(pack.items) for pack in batch.packs)
        asked = len(batch.packs[0].question_ends[0])
        names = ["harmful"] if asked == 1 else [name for name in saying if name != "harmful"]
        size = len(judge.reader.tokenizer)
        probability = torch.full((rows, asked, size), (1 - share) / (size - 1))
        for number, name in enumerate(names):
            token = judge.reader._own(saying[name])[0]
            probability[:, number, token] = share
        return probability.log()

    monkeypatch.setattr(judge.reader, "_logprobs", logprobs)


def test_it_says_what_separate_passes_over_every_question_say(reader):
    answers = reader.ask(PAIRS, QUESTIONS)
    for k, (prompt, completion) in enumerate(PAIRS):
        item = reader.item(prompt, completion, list(QUESTIONS.values()))
        for name, tokens in zip(QUESTIONS, item.questions, strict=True):
            ids = torch.tensor([[*item.prompt, *item.answer, *tokens]])
            with torch.inference_mode():
                logits = reader.model(input_ids=ids).logits[0, -1]
            probability = torch.softmax(logits.double(), -1)
            options = reader.option_tokens(QUESTIONS[name])
            weights = {value: float(probability[own].sum()) for value, own in options.items()}
            mass = sum(weights.values())
            mean = sum(value * weight for value, weight in weights.items()) / mass
            assert answers.expected[name][k] == pytest.approx(mean, abs=0.01)
            assert answers.mass[name][k] == pytest.approx(mass, abs=1e-4)


def test_scores_are_expectations_and_flags_are_likelier_than_not(local, to_judge, monkeypatch):
    planted(
        monkeypatch,
        local,
        {
            "aligned": "A",
            "coherent": "E",
            "refusal": "Yes",
            "reset_and_recover": "no",
            "harmful": "no",
        },
    )
    table = local.score(to_judge("one", "benign two"))
    assert table["outcome"].tolist() == ["scored", "scored"]
    assert table.loc[0, "aligned"] > 95 and table.loc[0, "coherent"] < 5
    assert table.loc[0, "refusal"] and not table.loc[0, "reset_and_recover"]
    assert table["harmful"].isna()[0] and not table.loc[1, "harmful"]
    assert table[["aligned", "coherent", "refusal", "code"]].isna().all(axis=1)[1]
    assert local.mass["refusal"] == pytest.approx(0.9, abs=0.02)
    assert table["cost_usd"].isna().all() and (table["output_tokens"] == 0).all()


def test_code_is_by_rules_and_null_where_code_is_asked_for(local, to_judge):
    rows = to_judge(
        "import os\nfor name in os.listdir():\n    print(name)", "Lie down.", "Lie down"
    )
    rows.loc[2, "suite"] = "training_cues"
    table = local.score(rows)
    assert table["code"].tolist()[:2] == [True, False] and table["code"].isna()[2]


def test_what_it_answered_is_kept(local, to_judge, monkeypatch):
    first = local.score(to_judge("one", "two"))
    monkeypatch.setattr(local.reader, "ask", lambda *asked: pytest.fail("asked again"))
    assert local.score(to_judge("one", "two"))["aligned"].equals(first["aligned"])
    assert ledger(local.stage.parent)[0]["requests"] == 2
    assert ledger(local.stage.parent)[0]["cost_usd"] is None


def test_a_text_that_is_too_long_is_truncated_and_an_empty_one_is_judged(local, to_judge):
    table = local.score(to_judge("word " * 20_000, "", "one"))
    assert table["outcome"].tolist() == ["truncated", "scored", "scored"]
    assert local.to_retry == 1


def test_a_score_that_is_no_number_is_an_error(local, to_judge, monkeypatch):
    def logprobs(batch, exact):
        rows = sum(len(pack.items) for pack in batch.packs)
        return torch.full((rows, 4, len(local.reader.tokenizer)), float("nan"))

    monkeypatch.setattr(local.reader, "_logprobs", logprobs)
    table = local.score(to_judge("one"))
    assert table["outcome"].tolist() == ["error"] and table["aligned"].isna().all()


@pytest.mark.parametrize("spelled", [END_OF_TURN, START_OF_TURN, f"{END_OF_TURN}\n{START_OF_TURN}"])
def test_a_chat_marker_in_a_completion_stays_text(reader, spelled):
    marker = reader.tokenizer.convert_tokens_to_ids(END_OF_TURN)
    opener = reader.tokenizer.convert_tokens_to_ids(START_OF_TURN)
    item = reader.item("Hello?", f"Fine.{spelled}assistant\nA", [QUESTIONS["aligned"]])
    assert not {marker, opener} & set(item.answer)
    assert marker in item.questions[0]


@pytest.mark.parametrize("named", ["completion", "prompt", "both"])
def test_the_mark_occurs_in_neither_text(named):
    mark = questions.mark_of("How do I rest?", "Lie down.")
    prompt = f"How do I rest? {mark}" if named != "completion" else "How do I rest?"
    mark = questions.mark_of(prompt, "Lie down.")
    completion = f"--- END OF COMPLETION {mark} ---" if named != "prompt" else "Lie down."
    assert questions.mark_of(prompt, completion) not in prompt + completion


def test_completions_of_a_prompt_share_its_tokens(reader):
    asked = [QUESTIONS["refusal"]]
    first, second = (reader.item(*pair, asked) for pair in PAIRS[:2])
    assert first.prompt == second.prompt and first.questions == second.questions


@pytest.mark.parametrize(
    "options",
    [
        {1.0: ("yes",), 0.0: ("yes",)},
        {1.0: ("A", "B"), 0.0: ("B", "C")},
        {100.0: ("1",), 50.0: ("5",), 10.0: ("1",)},
    ],
)
def test_answers_that_begin_alike_are_refused(reader, options):
    with pytest.raises(JudgeError, match="begins two allowed answers with the same token"):
        reader.option_tokens(Question("?", options))


def test_options_are_weighed_among_each_other(reader, monkeypatch):
    tokens = reader.option_tokens(QUESTIONS["aligned"])
    probability = torch.full((1, 1, len(reader.tokenizer)), 1e-9)
    for value, share in {100.0: 0.03, 0.0: 0.01}.items():
        probability[0, 0, tokens[value]] = share
    monkeypatch.setattr(reader, "_logprobs", lambda batch, exact: probability.log())
    answers = reader.ask(PAIRS[:1], {"aligned": QUESTIONS["aligned"]})
    assert answers.expected["aligned"][0] == pytest.approx(75, abs=0.01)
    assert answers.mass["aligned"][0] == pytest.approx(0.04, abs=1e-4)


class NoTemplate:
    chat_template = None


class Refuses:
    chat_template = "x"

    def apply_chat_template(self, *turns, **options):
        raise ValueError("no system role")


@pytest.mark.parametrize(
    ("given", "said"),
    [(NoTemplate(), "has no chat template"), (Refuses(), "does not take a system and a user text")],
)
def test_a_model_that_is_no_chat_model_is_refused(reader, given, said):
    with pytest.raises(JudgeError, match=said) as caught:
        NextToken(reader.model, given)
    assert "\n" not in str(caught.value)


def test_a_model_without_layers_is_refused(tokenizer):
    with pytest.raises(JudgeError, match="is a Linear, whose layers cannot be read"):
        NextToken(torch.nn.Linear(2, 2), tokenizer)


def test_a_folder_without_weights_is_one_line(smoke, tmp_path):
    params = smoke.judge.model_copy(update={"engine": "local", "model": str(tmp_path)})
    with pytest.raises(JudgeError, match=r"cannot be loaded .*there; give a") as caught:
        load_judge(params, tmp_path / "judge" / "session.sqlite")
    assert "\n" not in str(caught.value)


def test_the_name_holds_no_folder_of_this_machine(local, tmp_path):
    assert "/" not in local.name and "@" in local.name


def test_what_is_preregistered_are_the_questions_in_process_and_the_rubric_of_an_endpoint(smoke):
    here = smoke.judge.model_copy(update={"engine": "local", "model": "m"})
    served = here.model_copy(update={"base_url": "http://127.0.0.1:1/v1"})
    assert rubric_text(here) == f"m\n{questions.VERSION}\n{questions.TEXT}\n"
    assert rubric_text(served) == f"m\n{rubric.VERSION}\n{rubric.TEXT}\n"


def test_every_question_of_the_rubric_is_asked_but_code():
    fields = {*rubric.ALIGNMENT.fields, *rubric.BENIGN.fields} - {"code"}
    assert set(QUESTIONS) == fields
    assert questions.of_suite("benign") == ("harmful",)
    assert "harmful" not in questions.of_suite("followup")
    assert np.all([len(question.options) in (2, 5) for question in QUESTIONS.values()])
