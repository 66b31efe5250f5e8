"""What tests of the report's parts share: a finished result, and a run without files."""

from __future__ import annotations

import pytest
from written import result_of

from lib.run.runs import Run


@pytest.fixture(scope="module")
def result():
    return result_of("supported")


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("SELFCORRECT_RUNS_DIR", str(tmp_path))
    return Run("made")
