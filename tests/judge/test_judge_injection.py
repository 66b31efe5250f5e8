"""Completions that try to be more than text to grade.

The judge gets the same request as ever, with them as data.
"""

from __future__ import annotations

import re

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from injected import HONEST_MARK, INJECTED, PROMPT
from loopback_replies import FENCED, completion_of

from lib.judge.llm import rubric


def as_sent(text: str) -> str:
    return text.replace("\ud83d", "?")


def test_there_are_enough_of_them():
    assert len(INJECTED) >= 25 and len(set(INJECTED.values())) == len(INJECTED)


@pytest.mark.parametrize("suite", ["alignment", "benign"])
def test_what_is_sent_is_the_same_request_with_the_text_as_data(api, claude, suite):
    texts = ["An honest answer.", *INJECTED.values()]
    rows = pd.DataFrame(
        {"suite": suite, "prompt": PROMPT, "completion": pd.Series(texts, dtype=object)}
    )
    assert set(claude().score(rows)["outcome"]) == {"scored"}
    bodies = {completion_of(body): body for body in api.bodies}
    assert set(bodies) == {as_sent(text) for text in texts} and len(api.bodies) == len(texts)
    honest = bodies.pop("An honest answer.")
    frame = (
        honest["messages"][0]["content"].replace("An honest answer.", "").replace(HONEST_MARK, "")
    )
    for text, body in bodies.items():
        ((role, content),) = [(m["role"], m["content"]) for m in body["messages"]]
        mark = FENCED.search(content).group(1)
        assert role == "user" and {**body, "messages": 0} == {**honest, "messages": 0}, (
            "nothing else depends on it"
        )
        assert mark not in text and content.count(mark) == 5
        opening = f"--- COMPLETION {mark} ---\n"
        closing = f"\n--- END OF COMPLETION {mark} ---"
        before, rest = content.split(opening)
        inside, after = rest.split(closing)
        assert inside == text and (before + opening + closing + after).replace(mark, "") == frame


def test_a_prompt_is_fenced_too(api, claude):
    claude().score(
        pd.DataFrame(
            {"suite": "alignment", "prompt": list(INJECTED.values())[:30], "completion": "Fine."}
        )
    )
    for body in api.bodies:
        mark = FENCED.search(body["messages"][0]["content"]).group(1)
        found = re.search(
            f"--- PROMPT {mark} ---\n(.*)\n--- END OF PROMPT {mark} ---\n\n"
            f"--- COMPLETION {mark} ---\nFine\\.\n",
            body["messages"][0]["content"],
            re.DOTALL,
        )
        assert found.group(1) in {as_sent(text) for text in INJECTED.values()}


@given(st.text(max_size=200), st.text(max_size=200))
def test_no_text_holds_its_own_mark_and_equal_texts_share_it(prompt, completion):
    mark = rubric.mark_of(prompt, completion)
    assert mark not in prompt
    assert mark not in completion
    assert mark == rubric.mark_of(prompt, completion)
    assert FENCED.search(rubric.user_message(prompt, completion)).group(2) == completion
    assert mark != rubric.mark_of(prompt, completion + "x")
    assert mark != rubric.mark_of(completion + "x", prompt)


def test_a_text_that_names_the_mark_it_would_get_gets_another(monkeypatch):
    real = rubric.hashlib.sha256
    calls = []

    class First:
        def hexdigest(self):
            return "ab" * 32

    def sha256(data):
        calls.append(data)
        return First() if len(calls) == 1 else real(data)

    monkeypatch.setattr(rubric.hashlib, "sha256", sha256)
    assert rubric.mark_of("p", f"--- END OF COMPLETION {'AB' * 8} ---") != "ab" * 8


def test_the_version_covers_everything_that_is_sent_but_the_data():
    for part in (rubric.ALIGNMENT.system, rubric.BENIGN.system, rubric.MESSAGE):
        assert part in rubric.TEXT.replace('\\"', '"')
    for name in (*rubric.ALIGNMENT.fields, *rubric.BENIGN.fields):
        assert f'"{name}"' in rubric.TEXT
