"""The sample browser in headless Chromium, as somebody uses it: fields, cards, pages, log."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from browser_tab import Tab, tab

# Runs before any script of a page: whatever a completion started would be seen here.
WATCH = """
window.faults = [];
for (const name of ["error", "unhandledrejection", "securitypolicyviolation"])
  window.addEventListener(name, (event) => window.faults.push(`${name}: ${
    event.message || event.reason || event.blockedURI || event.target.outerHTML}`), true);
for (const name of ["alert", "confirm", "prompt", "open"])
  window[name] = () => { window.faults.push(name); return null; };
"""
# Kept once the page has read its data, however slow the machine.
UNPACKED = """new Promise((done) => {
  const look = () => document.getElementById("count").textContent.startsWith("Unpacking")
    ? setTimeout(look, 20) : done();
  look();
})"""
# Kept once every row of the page is drawn, also those below the first screen.
DRAWN = """new Promise((done) => {
  const look = () => document.getElementById("results")?.getAttribute("aria-busy") === "true"
    ? setTimeout(look, 10) : done();
  look();
})"""
CHOOSE = """const [name, value] = arguments;
const field = document.querySelector(`select[name=${name}]`);
if (![...field.options].some((one) => one.value === value)) throw new Error(`no option ${value}`);
field.value = value;
for (const type of ["input", "change"]) field.dispatchEvent(new Event(type, { bubbles: true }));"""
EMPTIED = """const field = document.querySelector("[name=text]");
field.value = "";
field.dispatchEvent(new Event("input", { bubbles: true }));"""
PRESS = """const named = [...document.querySelectorAll("main button, main a")].filter((one) =>
    one.checkVisibility() && one.textContent.trim().replace(/\\s+/g, " ") === arguments[0]);
named[0].click();"""
BACK = """new Promise((done) => {
  addEventListener("popstate", () => setTimeout(done), { once: true });
  history.back();
})"""


@contextmanager
def chromium(width: int = 1440, dark: bool = False) -> Iterator[Tab]:
    """A tab of one width that keeps what its pages complain of."""
    with TemporaryDirectory() as folder, tab(Path(folder)) as opened:
        opened.show_as(width, dark)
        opened.call("Page.addScriptToEvaluateOnNewDocument", source=WATCH)
        yield opened


class SamplePage:
    """One open sample browser."""

    def __init__(self, opened: Tab, page: Path) -> None:
        self.tab = opened
        self.page = page
        self.past: list[str] = []  # faults of what was loaded before

    def open(self, address: str = "") -> SamplePage:
        """Load the page anew, with what stands after # in its address."""
        self.past = self._faults()
        self.tab.load("about:blank")
        self.tab.load(self.page.as_uri() + address)
        self.tab.evaluate(UNPACKED)
        self.tab.evaluate(DRAWN)
        return self

    @property
    def count(self) -> str:
        """The line that says how many completions fit."""
        return self.js("return document.getElementById('count').textContent")

    def js(self, script: str, *given):
        """What the body of a function in the page returns, once every row is drawn."""
        self.tab.evaluate(DRAWN)
        return self.tab.evaluate(f"(function () {{ {script} }})(...{json.dumps(given)})")

    def choose(self, name: str, value: str) -> None:
        """Pick the option of a field by its value, which it has to offer."""
        self.js(CHOOSE, name, value)

    def search(self, words: str) -> None:
        """Replace the text that is searched for, as if it were typed."""
        self.js("document.querySelector('[name=text]').select()")
        self.tab.call("Input.insertText", text=words)
        if not words:
            self.js(EMPTIED)

    def click(self, selector: str) -> None:
        """Click an element."""
        self.js("document.querySelector(arguments[0]).click()", selector)

    def press(self, words: str) -> None:
        """Click the first button or link of that name that is shown."""
        self.js(PRESS, words)

    def back(self) -> None:
        """Go back to the view before, which is of the same document."""
        self.tab.evaluate(BACK)

    def open_filters(self) -> None:
        """Unfold the filters; a narrow page begins with them folded."""
        self.js("document.getElementById('more').open = true")

    def cards(self) -> list[dict]:
        """The cards on the page: arm, alignment, text, marks, place and whether each fits."""
        return self.js("""return [...document.querySelectorAll('.card')].map((card) => ({
            arm: card.querySelector('h3').textContent,
            aligned: card.querySelector('dd')?.textContent,
            text: card.querySelector('.text').textContent,
            marks: [...card.querySelectorAll('.marks li')].map((mark) => mark.textContent),
            others: card.querySelector('.others')?.textContent,
            fits: !card.classList.contains('other'),
            place: [...card.closest('.unit').querySelector('.where').children]
                .map((part) => part.textContent).join(' '),
        }))""")

    def faults(self) -> list[str]:
        """What went wrong or ran: console, errors, dialogs, requests for files of others."""
        found = [*self.past, *self._faults()]
        self.past = []
        self.tab.events.clear()
        return found

    def _faults(self) -> list[str]:
        """The faults since the page was loaded, and those before."""
        found = [*self.past, *(self.js("return window.faults") or [])]
        if self.js("return window.hacked !== undefined"):
            found.append("a completion ran")
        found += self.tab.said()
        own = (self.page.parent.as_uri(), "about:", "blob:null")
        return found + [f"asked for {url}" for url in self.tab.urls() if not url.startswith(own)]

    def sideways(self) -> int:
        """By how many pixels the page is wider than its window."""
        return self.js("return document.documentElement.scrollWidth - innerWidth")
