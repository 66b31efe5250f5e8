"""The report's section on what a person read."""

from __future__ import annotations

from markupsafe import Markup

from lib.display import html, show
from lib.manual_review import agreement, page
from lib.manual_review.agreement import State


def section(state: State) -> Markup:
    """How far the review is, how it agrees with the judge, and the marks of each arm.

    The arms stay hidden until every answer was read.
    """
    agreed = by_arm = ""
    if state.readings:
        caption = "Marks of a person and of the judge, on the answers that were read"
        agreed = show.table(agreement.table(state), caption)
    if state.done:
        by_arm = show.table(agreement.by_arm(state), "Marks of the person, by arm")
    return html.render(
        "review_section",
        line=state.line,
        page=page.NAME,
        title=page.TITLE,
        agreed=agreed,
        meaning=agreement.meaning(),
        by_arm=by_arm,
    )
