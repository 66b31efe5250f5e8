"""The same reading in Jupyter, with ipywidgets.

Jupyter keeps the keys of a page for itself, so the marks are typed as digits into a field: `14` and
Enter save the marks 1 and 4 and show the next answer. Enter alone saves an answer without a mark.
"""

from __future__ import annotations

import ipywidgets as widgets

from lib.display import html
from lib.display.visible import visible
from lib.manual_review import marks
from lib.manual_review.marks import LONGEST_NOTE, MARKS, Reading
from lib.manual_review.sample import Sample
from lib.run.runs import Run


class Panel(widgets.VBox):
    """One answer at a time, without its arm. Each saved answer is in the run's folder at once."""

    def __init__(self, run: Run, sample: Sample) -> None:
        """Show the first answer that was not read yet."""
        self.run = run
        self.sample = sample
        read = marks.read(run, sample)
        left = [k for k, item in enumerate(sample.items) if item.item_id not in read]
        self.at = left[0] if left else 0
        self.place = widgets.HTML()
        self.text = widgets.HTML()
        self.digits = widgets.Text(placeholder="marks as digits, then Enter")
        self.note = widgets.Text(placeholder="note, optional")
        self.back = widgets.Button(description="← Back")
        self.next = widgets.Button(description="Save and next", button_style="primary")
        self.digits.on_submit(self._save)
        self.next.on_click(self._save)
        self.back.on_click(self._back)
        controls = widgets.HBox([self.digits, self.note, self.back, self.next])
        super().__init__([self.place, self.text, controls])
        self._show()

    def _save(self, _source: widgets.Widget) -> None:
        """Keep the answer and show the next one; a wrong digit is named and nothing is kept."""
        typed = self.digits.value.replace(" ", "").replace(",", "")
        names = list(MARKS)
        wrong = [sign for sign in typed if sign not in "12345"[: len(names)]]
        if wrong:
            self._say(f"{wrong[0]!r} is not a mark; type digits from 1 to {len(names)}")
            return
        if len(self.note.value) > LONGEST_NOTE:
            self._say(f"the note is longer than {LONGEST_NOTE} characters; shorten it")
            return
        given = {names[int(sign) - 1] for sign in typed}
        reading = Reading(tuple(name for name in names if name in given), self.note.value)
        marks.keep(self.run, self.sample, {self.sample.items[self.at].item_id: reading})
        self.at = min(self.at + 1, len(self.sample.items) - 1)
        self._show()

    def _back(self, _source: widgets.Widget) -> None:
        self.at = max(self.at - 1, 0)
        self._show()

    def _show(self) -> None:
        """The present answer, with what was marked of it before."""
        item = self.sample.items[self.at]
        read = marks.read(self.run, self.sample)
        known = read.get(item.item_id, Reading(()))
        names = list(MARKS)
        self.digits.value = "".join(str(names.index(name) + 1) for name in known.marks)
        self.note.value = known.note
        total = len(self.sample.items)
        state = " This one is saved." if item.item_id in read else ""
        self._say(f"Answer {self.at + 1} of {total}, {len(read)} read.{state}")
        self.text.value = html.render(
            "review_item",
            prompt=visible(item.prompt),
            completion=visible(item.completion),
            labels=list(MARKS.values()),
        )

    def _say(self, line: str) -> None:
        self.place.value = html.render("line", text=line)
