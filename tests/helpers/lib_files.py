"""The modules of lib."""

from __future__ import annotations

from lib.config.params import ROOT

LIB = ROOT / "lib"
FILES = sorted(LIB.rglob("*.py"))
