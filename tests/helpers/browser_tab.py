"""One tab of headless Chromium, driven over its debugging port: what a page says, asks for and is.

No host is resolved, so a page that asks for one is caught and reaches nothing.
"""

from __future__ import annotations

import json
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import websocket
from browser import BROWSER, FLAGS

SAYS = ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded")
OWN = ("file:", "data:", "about:", "blob:")
KEYS = {  # what a browser has to be told of a key that is not a sign
    "Enter": {"text": "\r", "windowsVirtualKeyCode": 13},
    "Tab": {"windowsVirtualKeyCode": 9},
}
WAIT = 60  # seconds for anything: the machine may be busy


@dataclass
class Visit:
    """What happened while a page was loaded."""

    console: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)  # beyond the page's own files
    overflow: int = 0  # pixels by which the page is wider than its window
    value: object = None  # of the expression that was asked


class Tab:
    """A tab that visits one page after the other."""

    def __init__(self, address: str) -> None:
        self.socket = websocket.create_connection(address, timeout=WAIT, suppress_origin=True)
        self.number = 0
        self.events: list[dict] = []
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: object) -> dict:
        """Send a command and return its result; events meanwhile are kept."""
        self.number += 1
        request = {"id": self.number, "method": method, "params": params}
        self.socket.send(json.dumps(request))
        while True:
            message = json.loads(self.socket.recv())
            if message.get("id") == self.number:
                return message.get("result", {})
            self.events.append(message)

    def visit(self, page: Path, *, width: int = 1440, dark: bool = False, ask: str = "0") -> Visit:
        """Load a page and look at it. ask: a JavaScript expression whose value is returned."""
        self.show_as(width, dark)
        self.load(page.as_uri())
        wide = self.evaluate(f"document.documentElement.scrollWidth - {width}")
        return Visit(
            console=self.said(),
            requests=[url for url in self.urls() if not url.startswith(OWN)],
            overflow=max(0, int(wide)),
            value=self.evaluate(ask),
        )

    def show_as(self, width: int, dark: bool) -> None:
        """Give the tab a width, and pages the reader's choice of light or dark."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        self.call("Emulation.setDeviceMetricsOverride", **size)

    def load(self, url: str) -> None:
        """Load an address and wait until it is there. What happened before is forgotten."""
        self.events.clear()
        self.call("Page.navigate", url=url)
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(json.loads(self.socket.recv()))

    def evaluate(self, expression: str) -> object:
        """The value of a JavaScript expression in the page; of a promise, once it is kept.

        Raises AssertionError with what the page threw.
        """
        given = {"returnByValue": True, "awaitPromise": True, "userGesture": True}
        found = self.call("Runtime.evaluate", expression=expression, **given)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def press(self, key: str) -> None:
        """A key as a person presses it."""
        told = {"key": key} | ({"text": key} if len(key) == 1 else {})
        told |= KEYS.get(key, {})
        self.call("Input.dispatchKeyEvent", type="keyDown", **told)
        self.call("Input.dispatchKeyEvent", type="keyUp", **told)

    def said(self) -> list[str]:
        """What the page wrote to its console or threw since it was loaded."""
        return [json.dumps(e["params"]) for e in self.events if e.get("method") in SAYS]

    def urls(self) -> Iterator[str]:
        """What the page asked for since it was loaded."""
        for event in self.events:
            if event.get("method") == "Network.requestWillBeSent":
                yield event["params"]["request"]["url"]


@contextmanager
def tab(folder: Path) -> Iterator[Tab]:
    """A tab in a browser of its own, which ends with the block. folder: for its profile."""
    command = [
        BROWSER,
        *FLAGS,
        "--disable-dev-shm-usage",
        "--remote-debugging-port=0",
        f"--user-data-dir={folder}",
        "about:blank",
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        opened = Tab(_address(folder / "DevToolsActivePort"))
        yield opened
        opened.socket.close()
    finally:
        process.terminate()
        process.wait(WAIT)


def _address(port_file: Path) -> str:
    """The debugging address of the browser's first page, once it is there."""
    end = time.monotonic() + WAIT
    while time.monotonic() < end:
        lines = port_file.read_text().split() if port_file.exists() else []
        if len(lines) == 2:
            with urllib.request.urlopen(f"http://127.0.0.1:{lines[0]}/json") as answer:
                pages = [entry for entry in json.load(answer) if entry["type"] == "page"]
            if pages:
                return pages[0]["webSocketDebuggerUrl"]
        time.sleep(0.1)
    raise TimeoutError("Chromium opened no page")
