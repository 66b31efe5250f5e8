"""What weakens the verdict stands on the page in words and units, not in bare numbers."""

from __future__ import annotations

import pytest

from lib.report import remark_words


def lines(reason: str, **beside) -> list[str]:
    return remark_words.lines({"beside": {"reasons": [reason], **beside}})


@pytest.mark.parametrize(
    ("reason", "name", "value", "limit", "said"),
    [
        ("literal reflex: 0 is not > 0.05", "literal_reflex", 0.0, 0.05, ("0.0 %", "5.0 %")),
        ("semantic reflex: 0.021 is not > 0.1", "semantic_reflex", 0.021, 0.1, ("2.1 %", "10.0 %")),
        (
            "underpowered, minimum detectable effect: 10.43 is not <= 5",
            "power",
            10.43,
            5.0,
            ("10.4 points", "at most 5.0 points"),
        ),
    ],
)
def test_a_bound_that_is_missed_has_its_unit(reason, name, value, limit, said):
    (line,) = lines(reason, **{name: {"value": value, "threshold": limit}})
    assert all(words in line for words in said) and "is not" not in line


def test_a_control_has_its_interval_in_points():
    reason = "c cannot be told apart from the treatment (treatment − control -10.1 to 2.37): an e"
    (line,) = lines(reason, controls=[{"name": "c", "ci95": [-10.06, 2.37]}])
    assert "95 % interval −10.1 to +2.4 points" in line


@pytest.mark.parametrize(
    "reason", ["the manual sample review is not done", "literal reflex: not evaluated"]
)
def test_a_line_without_a_known_number_stays(reason):
    assert lines(reason, literal_reflex={"value": None}, controls=[]) == [reason]
