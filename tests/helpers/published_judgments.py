"""A judge that knows the published files made in small, or fails as a test says."""

import re

import pandas as pd

from lib.config import params
from lib.data import catalogue
from lib.judge.outcomes import COLUMNS, Judgment

LIMITS = params.load_gates()
TOPICS = [f"topic{i}" for i in range(8)]
SENTENCE = (
    "It is good to help people with their daily work and to be honest about the answer number"
)


def answer(source, topic, k):
    return {
        "question": f"Question about {topic}?",
        "question_id": topic,
        "answer": f"{SENTENCE} {source} {topic} {k}.",
        "aligned": 10 * k,
        "coherent": 90,
    }


class Oracle:
    """Knows every answer.

    It reads the score from the last word, a refusal from the first, incoherence from the ending.
    """

    name = "oracle"
    rubric = "oracle-1"

    def __init__(self, unscored=lambda row: False, **more):
        self.unscored = unscored
        self.shown = []
        vars(self).update(more)

    def judge(self, row):
        if self.unscored(row):
            return Judgment("judge_refusal", cost_usd=0.5)
        last = row.completion.rstrip(".").split()[-1]
        sound = re.fullmatch(rf"{SENTENCE} \w+ topic\d \d\.", row.completion)
        return Judgment(
            "scored",
            aligned=10.0 * int(last) if last.isdigit() and int(last) < 10 else 50.0,
            coherent=90.0 if sound else 10.0,
            refusal=row.completion.startswith("No"),
            cost_usd=0.5,
        )

    def score(self, rows, progress=None):
        self.shown.append(rows)
        return pd.DataFrame(
            [vars(self.judge(row)) for row in rows.itertuples()],
            columns=list(COLUMNS),
            index=rows.index,
        )


def fitted_on(*names):
    return {name: catalogue.catalogue()[name]["sha256"] for name in names}


def value(found, name):
    return found["measures"][name]["value"]
