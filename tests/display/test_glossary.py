"""Terms are found by any of their names, and a term that is missing is an error."""

from __future__ import annotations

import re
from html import unescape

import pytest

from lib.display import glossary, html

USED = re.compile(r"""term\("([^"]+)\"""")


def test_every_row_of_the_glossary_is_read_once():
    rows = glossary.terms()
    ids = [row.id for row in rows]
    assert len(ids) == len(set(ids)) > 60
    assert all(not set("`*|") & set(row.name + row.meaning) for row in rows)


def test_a_term_is_found_by_each_of_its_names():
    assert glossary.term("arm") == glossary.term("condition")
    assert glossary.term("MDE").meaning.startswith("minimum detectable effect")


def test_a_missing_term_is_an_error():
    with pytest.raises(KeyError, match="no term 'nonsense'; add it"):
        glossary.term("nonsense")
    with pytest.raises(KeyError):
        glossary.term("Statistics and verdict")  # a heading


def test_every_term_of_a_template_is_in_the_glossary():
    names = set()
    for path in html.TEMPLATES.glob("*.j2"):
        names |= set(USED.findall(path.read_text(encoding="utf-8")))
    assert len(names) >= 4
    for name in names:
        assert glossary.term(name).meaning


def test_every_word_that_gets_a_tooltip_has_its_term():
    for word, name in glossary.WORDS.items():
        assert glossary.pieces(f"a {word}.")[1] == (word, glossary.term(name))


def test_only_the_first_use_of_a_term_is_linked_and_the_text_stays():
    text = "AUROC and <b>unfiltered</b>, AUROC again; sub-seed"
    found = glossary.pieces(text)
    assert "".join(piece for piece, _ in found) == text
    assert [piece for piece, term in found if term] == ["AUROC", "unfiltered"]
    page = html.render("explained", pieces=found)
    assert "&lt;b&gt;" in page and "<b>" not in page and page.count("<a ") == 2
    assert unescape(re.sub("<[^>]*>", "", page)) == text
