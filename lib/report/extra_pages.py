"""The pages beside the report, in the order of the navigation. A page is added in one line."""

from __future__ import annotations

from collections.abc import Sequence

from lib.report.page import ExtraPage

EXTRA_PAGES: Sequence[ExtraPage] = ()
