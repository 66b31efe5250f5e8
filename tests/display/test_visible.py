"""Signs that nobody sees are written out; all others stay as they are."""

from __future__ import annotations

import pytest

from lib.display.visible import visible


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\n\tb", "a\n\tb"),
        ("a\r\nb\rc", "a\nb⟨U+000D⟩c"),
        ("\x00\x1b[31m\x7f\x9b", "⟨U+0000⟩⟨U+001B⟩[31m⟨U+007F⟩⟨U+009B⟩"),
        ("\u202eabc\u202c\u2066\u200f\ufeff", "⟨U+202E⟩abc⟨U+202C⟩⟨U+2066⟩⟨U+200F⟩⟨U+FEFF⟩"),
        ("\U000e0041", "⟨U+E0041⟩"),
        ("slумber 雪 שלום é 👩\u200d🚀", "slумber 雪 שלום é 👩\u200d🚀"),
        ("<b>&amp;", "<b>&amp;"),
        (None, "None"),
    ],
)
def test_hidden_signs_are_written_out(text, expected):
    assert visible(text) == expected
