"""Two fitted judges share no row, or only demonstrate."""

import pytest

from lib.judge import apart
from lib.judge.outcomes import JudgeError

SOURCES = {"betley": "sha", "xstest": "sha"}


def card(part=None, sources=SOURCES, rows=()):
    made = {"sources": dict(sources), "rows": dict.fromkeys(rows, 1)}
    return made | ({"fitted_rows": part} if part else {})


@pytest.mark.parametrize(
    ("one", "other", "shared"),
    [
        (card("selecting"), card("measuring"), []),
        (card("selecting"), card("selecting"), ["betley", "xstest"]),
        (card("selecting"), card("all"), ["betley", "xstest"]),
        (card("selecting"), card(), ["betley", "xstest"]),  # an older card names no part
        (card(), card(sources={"advbench": "sha"}), []),
        (card(rows=["authored"]), card(sources={}, rows=["authored"]), ["authored"]),
    ],
)
def test_parts_of_the_rows_are_apart_and_everything_else_is_not(one, other, shared):
    assert apart.shared_rows(one, other) == shared == apart.shared_rows(other, one)


@pytest.mark.parametrize("part", ["all", "measuring", None])
def test_judges_fitted_on_the_same_rows_are_refused(monkeypatch, smoke, part):
    cards = {"one": card(part), "two": card("measuring"), "llm": None}
    monkeypatch.setattr(apart, "card_of", lambda judge: cards[judge.model])
    one, two, llm = (smoke.judge.model_copy(update={"model": name}) for name in cards)
    with pytest.raises(JudgeError, match=r"both fitted on rows of betley, xstest; fit one"):
        apart.check_apart(one, two, demonstrates_only=False)
    apart.check_apart(one, two, demonstrates_only=True)
    apart.check_apart(llm, two, demonstrates_only=False)


def test_the_shipped_judges_have_cards_that_say_so(smoke):
    embedded = apart.card_of(smoke.judge)
    assert apart.shared_rows(embedded, embedded)
    assert apart.card_of(smoke.judge.model_copy(update={"engine": "anthropic"})) is None
