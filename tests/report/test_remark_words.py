"""What weakens the verdict stands on the page in words and units, not in bare numbers."""

from __future__ import annotations

import pytest
from written import result_of

from lib.analysis.controls import UNTOLD, compared_line
from lib.display.signs import in_tenths
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
        (
            "re-score with the opening stripped: 2.66 is not >= 5",
            "stripped",
            2.66,
            5.0,
            ("without the reset words", "2.7 points", "at least 5.0 points"),
        ),
    ],
)
def test_a_bound_that_is_missed_has_its_unit(reason, name, value, limit, said):
    compared = {"value": value, "threshold": limit, "passed": False}
    compared["reason"] = reason.partition(": ")[2]
    (line,) = lines(reason, **{name: compared})
    assert all(words in line for words in said) and "is not" not in line
    # A line that only begins alike is somebody else's.
    assert lines(f"{reason} in part", **{name: compared}) == [in_tenths(f"{reason} in part")]


def test_a_control_has_its_interval_in_points():
    control = {"name": "c", "does": UNTOLD, "ci95": [-10.06, 2.37]}
    (line,) = lines(compared_line(*control.values()), controls=[control])
    assert "95 % interval −10.1 to +2.4 points" in line


@pytest.mark.parametrize(
    "reason", ["the manual sample review is not done", "literal reflex: not evaluated"]
)
def test_a_line_without_a_known_number_stays(reason):
    assert lines(reason, literal_reflex={"value": None}, controls=[]) == [reason]


def test_every_line_of_a_result_that_has_numbers_is_known():
    result = result_of("supported")
    known = remark_words.lines(result)
    assert len(known) == len(result["beside"]["reasons"])
    assert not [line for line in known if " is not " in line and "≥" in line], known
