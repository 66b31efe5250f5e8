"""The sample browser in headless Chromium, as somebody uses it: fields, cards, pages, log."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from browser import FLAGS
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.support.ui import Select, WebDriverWait

OPTIONS = (*FLAGS, "--disable-dev-shm-usage")
DRIVER = shutil.which("chromedriver")
SETTLED = 120  # seconds within which a page must be there, however slow the machine
# Runs before any script of a page: whatever a completion started would be seen here.
WATCH = """
window.faults = [];
for (const name of ["error", "unhandledrejection", "securitypolicyviolation"])
  window.addEventListener(name, (event) => window.faults.push(`${name}: ${
    event.message || event.reason || event.blockedURI || event.target.outerHTML}`), true);
for (const name of ["alert", "confirm", "prompt", "open"])
  window[name] = () => { window.faults.push(name); return null; };
"""


@contextmanager
def chromium(binary: str, width: int = 1440, dark: bool = False) -> Iterator[webdriver.Chrome]:
    """A browser of one width that resolves no host and keeps what it asks for and complains of."""
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for option in OPTIONS:
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options, Service(DRIVER))
    try:
        metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": WATCH})
        yield driver
    finally:
        driver.quit()


class SamplePage:
    """One open sample browser."""

    def __init__(self, driver: webdriver.Chrome, page: Path) -> None:
        self.driver = driver
        self.page = page

    def open(self, address: str = "") -> SamplePage:
        """Load the page anew, with what stands after # in its address."""
        self.driver.get("about:blank")
        self.driver.get(self.page.as_uri() + address)
        waiting = WebDriverWait(self.driver, SETTLED)
        waiting.until(lambda _: not self.count.startswith("Unpacking"))
        return self

    @property
    def count(self) -> str:
        """The line that says how many completions fit."""
        return self.js("return document.getElementById('count').textContent")

    def js(self, script: str, *given):
        """What a script in the page returns."""
        return self.driver.execute_script(script, *given)

    def choose(self, name: str, value: str) -> None:
        """Pick the option of a field by its value."""
        Select(self.driver.find_element("name", name)).select_by_value(value)

    def search(self, words: str) -> None:
        """Replace the text that is searched for."""
        field = self.driver.find_element("name", "text")
        field.clear()
        field.send_keys(words)

    def press(self, words: str) -> None:
        """Click the first button or link of that name that is shown."""
        names = f"//main//*[self::button or self::a][normalize-space()='{words}']"
        shown = [one for one in self.driver.find_elements("xpath", names) if one.is_displayed()]
        shown[0].click()

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
        found = list(self.js("return window.faults"))
        if self.js("return window.hacked !== undefined"):
            found.append("a completion ran")
        found += [entry["message"] for entry in self.driver.get_log("browser")]
        own = self.page.parent.as_uri()
        for entry in self.driver.get_log("performance"):
            event = json.loads(entry["message"])["message"]
            if event["method"] == "Network.requestWillBeSent":
                url = event["params"]["request"]["url"]
                if not url.startswith((own, "about:", "blob:null")):
                    found.append(f"asked for {url}")
        return found

    def sideways(self) -> int:
        """By how many pixels the page is wider than its window."""
        return self.js("return document.documentElement.scrollWidth - innerWidth")
