"""The terms of docs/glossary.md, for tooltips and for the site's glossary page."""

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple

from lib.config.params import ROOT

PATH = ROOT / "docs" / "glossary.md"
ROW = re.compile(r"^\| (.+?) \| (.*?) ?\|$")


class Term(NamedTuple):
    """A row of the glossary; a heading among its rows has no meaning."""

    name: str  # as the glossary writes it, without its marks
    meaning: str

    @property
    def id(self) -> str:
        """Where the glossary page has it."""
        return "term-" + re.sub(r"\W+", "-", self.name.lower()).strip("-")


@cache
def terms() -> list[Term]:
    """Every row, in its order."""
    rows = [ROW.match(line) for line in PATH.read_text(encoding="utf-8").splitlines()]
    found = [Term(_plain(row[1]), _plain(row[2])) for row in rows if row]
    return [term for term in found if term.name not in ("term", "---")]


def term(name: str) -> Term:
    """The row of a term, by any of its names. Raises KeyError if the glossary lacks it."""
    for row in terms():
        names = [row.name, *row.name.split(", ")]
        if row.meaning and name in names:
            return row
    raise KeyError(f"docs/glossary.md has no term {name!r}; add it")


# Words of a sentence that get a term's tooltip; the longest come first.
WORDS = {
    "minimum detectable effect": "MDE",
    "Krippendorff's α": "α",
    "re-score with the opening stripped": "stripped re-score",
    "validity check": "validity check",
    "literal reflex": "reflex",
    "semantic reflex": "reflex",
    "95 % interval": "interval",
    "one-sided p": "p",
    "ARC-Challenge": "ARC",
    "contamination": "contamination",
    "trace prompts": "trace",
    "test–retest": "replicate",
    "underpowered": "MDE",
    "judged share": "judged share",
    "dropped share": "dropped share",
    "confirmatory": "confirmatory",
    "unfiltered": "unfiltered",
    "benign suite": "N1",
    "filtered": "filtered",
    "treatment": "treatment",
    "baseline": "baseline",
    "persona": "persona",
    "stamped": "stamp",
    "parrot": "parrot rate",
    "AUROC": "AUROC",
    "seeds": "seed",
    "seed": "seed",
    "Δ": "Δ",
}
FIND = re.compile(r"(?<![\w-])(" + "|".join(map(re.escape, WORDS)) + r")(?![\w-])")


def pieces(text: str) -> list[tuple[str, Term | None]]:
    """A text cut at the first occurrence of each of its terms: piece, and its term or None."""
    found: list[tuple[str, Term | None]] = []
    explained = set()
    end = 0
    for match in FIND.finditer(text):
        name = WORDS[match[0]]
        if name in explained:
            continue
        explained.add(name)
        found += [(text[end : match.start()], None), (match[0], term(name))]
        end = match.end()
    return [*found, (text[end:], None)]


def _plain(text: str) -> str:
    """A cell without its marks of emphasis and code."""
    return re.sub(r"[`*]", "", text)
