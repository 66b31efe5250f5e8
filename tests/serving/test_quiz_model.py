"""Answers that share their question's cache have the scores of the harness's own class."""

import pytest
from lm_eval.models.huggingface import HFLM

from lib.serving.quiz_model import QuizModel


@pytest.fixture
def models(base, tokenizer):
    """Makes our class and the harness's own, on the same model."""

    def make(batch=2, **options):
        options = {"pretrained": base, "tokenizer": tokenizer, "batch_size": batch, **options}
        return [kind(backend="causal", device="cpu", **options) for kind in (QuizModel, HFLM)]

    return make


def requests(tokenizer, pairs):
    ids = [[tokenizer(text)["input_ids"] for text in pair] for pair in pairs]
    return [(pair, *of_pair) for pair, of_pair in zip(pairs, ids, strict=True)]


QUESTIONS = ["What do bees make?", "Which of these is the coldest, on an ordinary day?", "Two?"]
ANSWERS = [" honey", " sand in great amounts, and glass", " a", " salt"]


@pytest.mark.parametrize("batch", [1, 2, 16])
def test_scores_are_those_of_the_harness_in_any_order_and_batch(models, tokenizer, batch):
    pairs = [(question, answer) for answer in ANSWERS for question in QUESTIONS]
    asked = requests(tokenizer, [*pairs, pairs[0]])
    ours, own = (model._loglikelihood_tokens(asked, disable_tqdm=True) for model in models(batch))
    assert [score for score, _ in ours] == pytest.approx([score for score, _ in own], abs=1e-3)
    assert [greedy for _, greedy in ours] == [greedy for _, greedy in own]


def test_an_answer_that_greedy_decoding_gives_is_said_to_be_so(models, base, tokenizer):
    question = tokenizer("What do bees make?", return_tensors="pt")["input_ids"]
    written = base.generate(question, max_new_tokens=3, do_sample=False, eos_token_id=None)
    answer = written[0, question.shape[1] :].tolist()
    other = [*answer[:2], (answer[2] + 1) % len(tokenizer)]
    asked = [(("q", "a"), question[0].tolist(), ids) for ids in (answer, other, answer[:1])]
    ours, own = (model._loglikelihood_tokens(asked, disable_tqdm=True) for model in models())
    assert [greedy for _, greedy in ours] == [greedy for _, greedy in own] == [True, False, True]


def test_a_question_is_read_once(models, base, tokenizer, monkeypatch):
    read = []
    forward = base.forward

    def counted(*arguments, **options):
        read.append(options["input_ids"].numel())
        return forward(*arguments, **options)

    monkeypatch.setattr(base, "forward", counted)
    asked = requests(tokenizer, [(QUESTIONS[1], answer) for answer in ANSWERS])
    models()[0]._loglikelihood_tokens(asked, disable_tqdm=True)
    longest = max(len(answer) for _, _, answer in asked)
    assert read == [len(asked[0][1]), len(ANSWERS) * (longest - 1)]


def test_a_text_that_is_too_long_is_cut_as_the_harness_cuts_it(models, tokenizer):
    asked = requests(tokenizer, [(QUESTIONS[1], answer) for answer in ANSWERS])
    ours, own = (
        model._loglikelihood_tokens(asked, disable_tqdm=True) for model in models(max_length=16)
    )
    assert ours == own
