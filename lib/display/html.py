"""All HTML of the project is written in lib/display/templates; this module fills it in.

Model outputs are hostile text, so escaping is on for every value of every template. Only what a
template returned itself (`Markup`) is put into another template as it is.
"""

from __future__ import annotations

from html import escape
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from lib.display import glossary, signs

TEMPLATES = Path(__file__).parent / "templates"
NOTEBOOK_TEMPLATE = Path(__file__).parent / "notebook_template"  # nbconvert's, below its name


def render(name: str, **values: object) -> Markup:
    """Fill in the template `lib/display/templates/<name>.html.j2`.

    Raises jinja2.UndefinedError if a value is missing that the template names.
    """
    return Markup(_ENVIRONMENT.get_template(f"{name}.html.j2").render(values))


def _escaped(value: object) -> Markup:
    """Escape as html.escape does, so that a page can be searched for html.escape(text)."""
    if isinstance(value, Markup):
        return value
    return Markup(escape(str(value)))


_ENVIRONMENT = Environment(
    loader=FileSystemLoader(TEMPLATES),
    autoescape=True,
    finalize=_escaped,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_ENVIRONMENT.globals["glossary"] = glossary


def _explained(text: object) -> Markup:
    """A text whose first use of each term has its meaning as a tooltip, with the signs of print."""
    return render("explained", pieces=glossary.pieces(signs.typeset(str(text))))


_ENVIRONMENT.filters["explained"] = _explained
