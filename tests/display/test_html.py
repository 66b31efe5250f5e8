"""HTML is written in lib/templates only, and a template escapes whatever it is given."""

from __future__ import annotations

import ast
import html as standard
import re

import pandas as pd
import pytest
from jinja2 import UndefinedError
from markupsafe import Markup

from lib.config.params import ROOT
from lib.display import html, show

READS_HTML = ROOT / "lib" / "judge" / "code_patterns.py"  # finds tags in a model's answers
MODULES = [*sorted((ROOT / "lib").rglob("*.py")), *sorted((ROOT / "notebooks").glob("*.py"))]
SOURCES = [path for path in MODULES if path != READS_HTML]
TAG = re.compile(r"</?[a-z][a-z0-9]*(?=[\s/>])", re.IGNORECASE)
PLACEHOLDERS = {"<k", "<condition", "<na"}  # seed<k>/<condition>.parquet; a missing value of pandas
HOSTILE = [
    """<script>alert("x")</script>""",
    "<img src=x onerror='alert(1)'>",
    "</textarea></pre></style></title></td></table>",
    "\x1b[31mred\x1b[0m <b>",
    "\u202eright to left\u202c <i>",
    "{{ 7 * 7 }}{% include 'style.css' %}{# no #}",
    "&lt;u&gt;",
]


def tags(tree: ast.Module) -> list[str]:
    """HTML tags in the texts of a module, other than docstrings."""
    prose = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    texts = [text_of(node) for node in ast.walk(tree) if id(node) not in prose]
    found = []
    for text in texts:
        found += [tag for tag in TAG.findall(text) if tag.lower() not in PLACEHOLDERS]
    return found


def text_of(node: ast.AST) -> str:
    """A string as it stands in the source; what an f-string fills in counts as one letter."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        parts = [text_of(part) if isinstance(part, ast.Constant) else "x" for part in node.values]
        return "".join(parts)
    return ""


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_module_writes_html(path):
    assert tags(ast.parse(path.read_text(encoding="utf-8"))) == [], "write it in lib/templates"


@pytest.mark.parametrize(
    "planted",
    [
        "a = '<b>text</b>'",
        "a = f'<td>{x}'",
        "a = f'<{name} class={y}>'",
        "a = b + '<br/>'",
        "a = '<P\\nclass=x>'",
        "f('''<script>''')",
    ],
)
def test_a_tag_would_be_found(planted):
    assert tags(ast.parse(planted))


def test_docstrings_may_name_tags():
    assert tags(ast.parse('def f():\n    """Reads <name>, not <b>."""\n')) == []


def test_no_template_switches_escaping_off():
    for path in html.TEMPLATES.iterdir():
        assert not re.search(r"\bsafe\b|autoescape", path.read_text(encoding="utf-8")), path.name


@pytest.mark.parametrize("text", HOSTILE)
def test_what_a_template_is_given_stands_in_the_page_as_text(text):
    messages = [{"role": "user", "content": text}]
    rows = [
        {
            "condition": text,
            "suite": text,
            "prompt_id": text,
            "prompt": text,
            "sample_index": text,
            "completion": text,
        }
    ]
    pages = {
        "table": html.render("table", columns=[text], rows=[[text]], caption=text),
        "gates": html.render("gates", rows=[([text], True)]),
        "conversation": html.render("conversation", messages=messages, title=text),
        "highlighted": html.render("highlighted", pieces=[(text, False), (text, True)]),
        "mask": html.render("mask", title=text, pieces=[(text, 1)], legend={1: text}),
        "filterable": html.render(
            "filterable", box_id="f0", choices={"prompt": [text]}, rows=rows, total=text
        ),
        "side_by_side": html.render(
            "side_by_side",
            conditions=[text],
            prompts=[{"prompt_id": text, "text": text, "completions": [text]}],
        ),
    }
    for name, page in pages.items():
        assert standard.escape(text) in page, name
        shown = page.replace(standard.escape(text), "")
        assert text not in shown and "onerror" not in shown and "alert" not in shown, name


def test_html_of_a_template_is_put_into_another_as_it_is():
    inner = show.table(pd.DataFrame({"a": ["<i>"]}))
    assert isinstance(inner, Markup) and inner.count("&lt;i&gt;") == 1
    page = html.render(
        "reproducibility", card=inner, card_state="<b>", stages="<td>", environment=""
    )
    assert inner in page and "&lt;b&gt;" in page and "&lt;td&gt;" in page


def test_a_value_that_is_missing_is_an_error():
    with pytest.raises(UndefinedError, match="caption"):
        html.render("table", columns=[], rows=[])
    with pytest.raises(UndefinedError, match="'tool'"):
        show.conversation([{"role": "tool", "content": ""}])
