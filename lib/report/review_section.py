"""What a person reads and read: the blinded page of the site, and the report's section on it."""

from __future__ import annotations

from pathlib import Path

from markupsafe import Markup

from lib.display import html, show
from lib.manual_review import agreement, blind_page
from lib.manual_review.agreement import State
from lib.report import page
from lib.report.page import ExtraPage, Link, Navigation
from lib.run.runs import Run

LINK = Link(blind_page.TITLE, blind_page.NAME)


def section(state: State | None) -> Markup | str:
    """How far the review is, how it agrees with the judge, and the marks of each arm.

    The arms stay hidden until every answer was read. Nothing if there are no judged answers.
    """
    if state is None:
        return ""
    agreed = by_arm = ""
    if state.readings:
        caption = "Marks of a person and of the judge, on the answers that were read"
        agreed = show.table(agreement.table(state), caption)
    if state.done:
        by_arm = show.table(agreement.by_arm(state), "Marks of the person, by arm")
    return html.render(
        "review_section",
        line=state.line,
        done=state.done,
        link=LINK,
        agreed=agreed,
        meaning=agreement.meaning(),
        by_arm=by_arm,
    )


def read(run: Run) -> State | None:
    """The review. None if the run's answers are not all here, or not judged."""
    try:
        state = agreement.state(run)
    except FileNotFoundError:
        return None
    return state if state.sample.items else None


def _write(state: State, folder: Path, navigation: Navigation) -> None:
    """The page. Its own navigation leads to no page whose name tells of an arm."""
    body = blind_page.body(navigation.run_name, state.sample)
    blind = Navigation(navigation.run_name, [Link("Report", "index.html"), LINK])
    text = page.render(blind, LINK.file, LINK.title, body)
    (folder / LINK.file).write_text(text, encoding="utf-8")


PAGE = ExtraPage(LINK, read, _write)
