"""The audit of packages says what it found, or why it could not ask."""

from __future__ import annotations

import json
import stat
import sys
import urllib.error

import pytest

from lib.setup import audit

SAFE = {"name": "torch", "version": "2.13.0", "vulns": []}
WEAK = {
    "name": "jinja2",
    "version": "3.0.0",
    "vulns": [{"id": "GHSA-cpwx-vrp4-4pq7", "fix_versions": ["3.1.6"]}],
}


@pytest.fixture
def tool(tmp_path, monkeypatch):
    """A program in pip-audit's place, which prints what a test wants of it."""
    program = tmp_path / "pip-audit"

    def prints(text: str, code: int = 0) -> None:
        lines = [f"#!{sys.executable}", "import sys"]
        lines += [f"sys.{'stdout' if text.startswith('{') else 'stderr'}.write({text!r})"]
        program.write_text("\n".join([*lines, f"sys.exit({code})"]))
        program.chmod(program.stat().st_mode | stat.S_IEXEC)

    monkeypatch.setattr(audit, "check_reachable", lambda: None)
    monkeypatch.setattr(audit, "tool", lambda: [str(program)])
    return prints


def test_a_known_weakness_stops_lint(tool, capsys):
    tool(json.dumps({"dependencies": [SAFE, WEAK]}), code=1)
    assert audit.main() == 1
    told = capsys.readouterr().err
    assert "requirements.lock: jinja2 3.0.0: GHSA-cpwx-vrp4-4pq7, mended in 3.1.6" in told
    assert "raise the pin" in told and "torch" not in told


def test_an_accepted_weakness_does_not(tool, monkeypatch, capsys):
    tool(json.dumps({"dependencies": [WEAK]}), code=1)
    monkeypatch.setattr(audit, "ACCEPTED", {"GHSA-cpwx-vrp4-4pq7": "only trusted templates"})
    assert audit.main() == 0 and "no known weakness" in capsys.readouterr().out


def test_no_report_is_skipped_with_its_reason(tool, capsys):
    tool("ERROR: service not reached", code=1)
    assert audit.main() == 0
    assert "pip-audit is skipped: pip-audit stopped (ERROR: service not reached)" in (
        capsys.readouterr().out
    )


def test_without_a_network_nothing_is_installed(monkeypatch, capsys):
    def refuse(*given, **options):
        raise urllib.error.URLError("no network")

    monkeypatch.setattr(audit.urllib.request, "urlopen", refuse)
    monkeypatch.setattr(audit, "tool", lambda: pytest.fail("it was installed"))
    assert audit.main() == 0
    assert "skipped: https://api.osv.dev is not reached (no network)" in capsys.readouterr().out


def test_the_tool_is_pinned():
    assert audit.TOOL.count("==") == 1 and audit.LOCKS[0] == "requirements.lock"
