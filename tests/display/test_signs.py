"""Signs of print and decimals, in sentences that were typed."""

from __future__ import annotations

import pytest

from lib.display import signs


@pytest.mark.parametrize(
    ("typed", "printed"),
    [
        ("delta -0.4554 is not >= 5", "delta −0.4554 is not ≥ 5"),
        ("a <= -3", "a ≤ −3"),
        ("selfcorrect-em, 2026-11-27 and `code`", "selfcorrect-em, 2026-11-27 and code"),
    ],
)
def test_a_sentence_has_the_signs_of_print(typed, printed):
    assert signs.typeset(typed) == printed


@pytest.mark.parametrize(
    ("typed", "printed"),
    [
        ("delta 10.31, strong", "delta 10.3, strong"),
        ("it is 12.345.", "it is 12.3."),
        ("−26.449", "−26.4"),
        ("0.1825 and p 0.0312", "0.1825 and p 0.0312"),
        ("torch 2.13.0 and v1.25x", "torch 2.13.0 and v1.25x"),
    ],
)
def test_numbers_of_one_or_more_have_one_decimal(typed, printed):
    assert signs.in_tenths(typed) == printed
