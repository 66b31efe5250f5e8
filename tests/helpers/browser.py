"""A page as headless Chromium has it after loading, without a network."""

from __future__ import annotations

import html
import shutil
import subprocess
from pathlib import Path

import pytest

BROWSER = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)
# No window, and no host is resolved: a page that asks for one reaches nothing.
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND",
)
IN_A_BROWSER = pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")


def dom(page: Path, folder: Path) -> str:
    """The page's DOM after loading, from a file, in a browser that resolves no host."""
    command = [
        BROWSER,
        *FLAGS,
        f"--user-data-dir={folder}",
        "--dump-dom",
        page.as_uri(),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return html.unescape(done.stdout)
