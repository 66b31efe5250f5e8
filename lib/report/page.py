"""The frame of every page of the site: navigation, table of contents, stylesheet.

A page in a folder of its own, such as samples/index.html, is linked in the same way: `render` finds
the way back by the page's own name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, NamedTuple

from markupsafe import Markup

from lib.display import html
from lib.run.runs import Run


class Link(NamedTuple):
    """A page in the navigation."""

    title: str  # as the navigation shows it
    file: str  # from the site's folder


class Entry(NamedTuple):
    """A section in a page's table of contents."""

    id: str  # of its heading
    title: str  # in words


@dataclass(frozen=True)
class ExtraPage:
    """A page beside the report, such as one to browse samples.

    It is linked, and written, where `read` finds something to show in the run.
    """

    link: Link
    read: Callable[[Run], Any]  # what the page shows; None: nothing, and there is no page
    write: Callable[[Any, Path, Navigation], None]  # what was read, the site's folder, the pages


@dataclass(frozen=True)
class Navigation:
    """The pages of one site."""

    run_name: str
    links: Sequence[Link]  # always in sight
    folded: Sequence[Link] = ()  # the notebooks, behind one click


def render(
    navigation: Navigation,
    here: str,
    title: str,
    body: Markup,
    contents: Sequence[Entry] = (),
    head: Markup | None = None,
) -> str:
    """A whole page.

    Args:
        here: its own file, from the site's folder.
        title: in the browser's tab.
        body: what `lib.display.html.render` made.
        contents: its sections, if it has a table of contents.
        head: what this page alone has in its head, such as a script of its own.
    """
    return html.render(
        "base",
        title=title,
        run_name=navigation.run_name,
        root="../" * here.count("/"),
        code_css=_code_css(),
        links=navigation.links,
        folded=navigation.folded,
        here=here,
        contents=contents,
        head=head or "",
        body=body,
    )


def write(folder: Path, navigation: Navigation, here: str, title: str, body: Markup) -> None:
    """Write a page with its table of contents into the site's folder; arguments as of `render`."""
    text = render(navigation, here, title, body, contents_of(body))
    (folder / here).write_text(text, encoding="utf-8")


def contents_of(body: str, level: str = "h2") -> list[Entry]:
    """The headings of one level that have an id, in their order."""
    reader = _Headings(level)
    reader.feed(body)
    return reader.entries


class _Headings(HTMLParser):
    """Collects headings as the page is parsed."""

    def __init__(self, level: str) -> None:
        super().__init__()
        self.level = level
        self.entries: list[Entry] = []
        self.open: str | None = None  # id of the heading that is being read
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == self.level and dict(attrs).get("id"):
            self.open = dict(attrs)["id"]
            self.text = ""

    def handle_data(self, data: str) -> None:
        if self.open:
            self.text += data

    def handle_endtag(self, tag: str) -> None:
        if tag == self.level and self.open:
            title = re.sub(r"\s+", " ", self.text).strip(" ¶")
            self.entries.append(Entry(self.open, title))
            self.open = None


def _code_css() -> Markup:
    """The colours of code, as pygments names its classes, for light and dark."""
    from pygments.formatters import HtmlFormatter

    def colours(style: str) -> str:
        rules = HtmlFormatter(style=style).get_style_defs(".highlight").splitlines()
        return "\n".join(rule for rule in rules if rule.startswith(".highlight ."))

    dark = f"@media screen and (prefers-color-scheme: dark) {{\n{colours('github-dark')}\n}}"
    return Markup(f"{colours('default')}\n{dark}")
