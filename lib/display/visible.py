"""Write out the signs of a text that a reader cannot see, or that turn the text around them."""

from __future__ import annotations

import unicodedata

KEPT = "\n\t"
# Zero-width joiners of Indic scripts and emoji are part of words.
JOINERS = "\u200c\u200d"


def visible(text: object) -> str:
    """A text in which every control and direction sign is written out, as ⟨U+202E⟩."""
    return "".join(map(_sign, str(text).replace("\r\n", "\n")))


def _sign(sign: str) -> str:
    hidden = unicodedata.category(sign) in ("Cc", "Cf", "Cs")
    if not hidden or sign in KEPT or sign in JOINERS:
        return sign
    return f"⟨U+{ord(sign):04X}⟩"
