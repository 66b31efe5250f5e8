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


def _plain(text: str) -> str:
    """A cell without its marks of emphasis and code."""
    return re.sub(r"[`*]", "", text)
