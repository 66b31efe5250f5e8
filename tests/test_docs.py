"""What the docs name exists."""

from __future__ import annotations

import re

import pytest
from pydantic import BaseModel

from lib.config.params import ROOT
from lib.config.schema import Profile

DOCS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
SECTIONS = {
    name: field.annotation
    for name, field in Profile.model_fields.items()
    if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
}
ENDINGS = ("yaml", "yml", "py", "md", "ipynb", "jsonl", "json")


def exists(key: str) -> bool:
    section, field, *_ = key.split(".")
    known = SECTIONS[section].model_fields
    return field == "*" or field in known


def keys_of(text: str) -> set[str]:
    """Dotted keys that begin with a section of a profile; file names are none."""
    found = re.findall(
        rf"(?<![\w./-])((?:{'|'.join(SECTIONS)})(?:\.(?:[a-z_0-9]+|\*(?!\*)))+)", text
    )
    return {key for key in found if key.rsplit(".")[-1] not in ENDINGS}


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_every_key_that_the_docs_name_exists(path):
    assert [
        key for key in sorted(keys_of(path.read_text(encoding="utf-8"))) if not exists(key)
    ] == []


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_no_key_is_written_with_an_underscore_for_its_dot(path):
    spelled: set[str] = set()
    for section, schema in SECTIONS.items():
        spelled |= {f"{section}_{field}" for field in schema.model_fields}
    assert spelled & set(re.findall(r"\w+", path.read_text(encoding="utf-8"))) == set()


def test_a_wrong_key_is_found():
    assert {
        key: exists(key)
        for key in keys_of(
            "set `phase2.mod` or training.token_budget in params/data.yaml, judge.py"
        )
    } == {"phase2.mod": False, "training.token_budget": True}
