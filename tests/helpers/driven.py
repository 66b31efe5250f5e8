"""A headless Chromium that a test drives: it clicks, types and reads what the page then says."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
CHROMEDRIVER = shutil.which("chromedriver")


def needs_a_driver() -> pytest.MarkDecorator:
    """Leaves a test out, with the reason, where something to drive a browser is missing."""
    try:
        import selenium  # noqa: F401
    except ImportError:
        return pytest.mark.skip(reason="selenium is not installed")
    missing = CHROMIUM is None or CHROMEDRIVER is None
    return pytest.mark.skipif(missing, reason="no Chromium with its driver on this machine")


@contextmanager
def driver(folder: Path, *options: str) -> Iterator:
    """A browser without a network, which saves downloads in `folder`."""
    from selenium import webdriver

    chosen = webdriver.ChromeOptions()
    chosen.binary_location = CHROMIUM
    profile = f"--user-data-dir={folder / 'profile'}"
    quiet = (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--host-resolver-rules=MAP * ~NOTFOUND",
    )
    for option in (*quiet, profile, "--window-size=1440,900", *options):
        chosen.add_argument(option)
    chosen.add_experimental_option("prefs", {"download.default_directory": str(folder)})
    chosen.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(executable_path=CHROMEDRIVER)
    browser = webdriver.Chrome(options=chosen, service=service)
    try:
        yield browser
    finally:
        browser.quit()
