"""Put a file into the data folder and the catalogue, and expect one line of refusal."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from lib.data import catalogue
from lib.data.catalogue import DATA_DIR_VARIABLE
from lib.data.text_files import DataError


def planter(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict]:
    """`planter(...)(content, reader, ...)` adds a file to folder and catalogue as `planted`."""
    entries = dict(catalogue.catalogue())
    monkeypatch.setattr(catalogue, "catalogue", lambda: entries)
    monkeypatch.setenv(DATA_DIR_VARIABLE, str(folder))

    def plant(content, reader="chats", **more):
        if isinstance(content, list):
            content = "".join(json.dumps(row) + "\n" for row in content)
        raw = content if isinstance(content, bytes) else content.encode()
        (folder / "planted.txt").write_bytes(raw)
        entries["planted"] = {
            "file": "planted.txt",
            "reader": reader,
            "url": "https://example.org/planted.txt",
            "sha256": hashlib.sha256(raw).hexdigest(),
        } | more
        return entries["planted"]

    return plant


def refused(read, *words, error=DataError):
    with pytest.raises(error) as raised:
        read()
    message = str(raised.value)
    assert "\n" not in message and [word for word in words if word not in message] == [], message
