"""Execute one notebook of the project as papermill does, from a command that needs its result."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lib.config.params import ROOT
from lib.run.runs import runs_root

START_SECONDS = 600  # for a kernel to answer; papermill's own minute is too short on a busy machine


def execute(name: str, executed: Path, parameters: Mapping[str, Any]) -> None:
    """Execute notebooks/<name>.ipynb into the file `executed`.

    Raises RuntimeError, in one line, with the error of the cell that failed.
    """
    import papermill  # it takes seconds

    executed.parent.mkdir(parents=True, exist_ok=True)
    os.environ["SELFCORRECT_RUNS_DIR"] = str(runs_root())  # the kernel works in another folder
    try:
        papermill.execute_notebook(
            str(ROOT / "notebooks" / f"{name}.ipynb"),
            str(executed),
            dict(parameters),
            cwd=str(ROOT / "notebooks"),
            progress_bar=False,
            start_timeout=START_SECONDS,
        )
    except papermill.PapermillExecutionError as error:
        number = name.split("_")[0]
        raise RuntimeError(f"notebook {number} stopped: {error.ename}: {error.evalue}") from None
