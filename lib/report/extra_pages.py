"""The pages beside the report, in the order of the navigation. A page is added in one line."""

from __future__ import annotations

from collections.abc import Sequence

from lib.report import review_section
from lib.report.page import ExtraPage
from lib.report.sample_browser import BROWSER

# The blind page before the one that names the arm of every answer.
EXTRA_PAGES: Sequence[ExtraPage] = (review_section.PAGE, BROWSER)
