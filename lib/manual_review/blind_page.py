"""The page on which a person reads the sample: no server, no network, no arm in it."""

from __future__ import annotations

from markupsafe import Markup

from lib.display import html
from lib.display.visible import visible
from lib.manual_review.marks import LONGEST_NOTE, MARKS
from lib.manual_review.sample import Sample

NAME = "review.html"  # in the run's site
TITLE = "Read answers blind"


def body(run_name: str, sample: Sample) -> Markup:
    """The page's body.

    Of each answer it holds the number, the prompt and the completion; nothing else of the sample's
    key may get here.
    """
    return html.render(
        "review",
        run_name=run_name,
        fingerprint=sample.fingerprint,
        items=[
            {
                "id": item.item_id,
                "prompt": visible(item.prompt),
                "completion": visible(item.completion),
            }
            for item in sample.items
        ],
        marks=MARKS,
        longest_note=LONGEST_NOTE,
    )
