"""The report of a run whose ladder chose no dose: em_not_induced, with the ladder's table.

Source: docs/protocol.md section 4. No arm is trained, so there is no result.json.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from lib.checks import attempts
from lib.config.params import ROOT
from lib.display import html, show
from lib.report import page
from lib.report.alt_texts import ladder_alt
from lib.report.ladder_table import ladder_sentence, ladder_table
from lib.report.page import Link, Navigation
from lib.run.files import atomic_path
from lib.run.runs import Run


def write(run: Run, record: Mapping[str, Any]) -> Path:
    """Render reports/RUN/index.html from what the ladder wrote, and return its path."""
    target = ROOT / "reports" / run.name
    figure = run.ladder / "ladder.png"
    known = attempts.beside_ladder(run)
    body = html.render(
        "no_dose",
        run_name=run.name,
        reason=record["reason"].removeprefix("em_not_induced: "),
        sentence=ladder_sentence(record),
        table=show.table(ladder_table(record), "Every rung, in the order of the profile"),
        figure=base64.b64encode(figure.read_bytes()).decode() if figure.exists() else None,
        alt=ladder_alt(record),
        attempts=show.table(pd.DataFrame(known), "Attempts on this base") if known else "",
    )
    navigation = Navigation(run.name, [Link("Report", "index.html")])
    with atomic_path(target) as beside:
        beside.mkdir()
        page.write(beside, navigation, "index.html", "Report", body)
    return target / "index.html"
