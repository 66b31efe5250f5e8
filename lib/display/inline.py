"""Figures go into the notebook, and elsewhere to files, whatever back end the environment names."""

from __future__ import annotations

import matplotlib


def choose() -> None:
    """Set matplotlib's back end: the notebook's own in a kernel, else one that needs no display.

    MPLBACKEND and a matplotlibrc do not count.
    """
    from IPython import get_ipython

    shell = get_ipython()
    if shell is None or not hasattr(shell, "kernel"):
        matplotlib.use("agg")
    else:
        shell.run_line_magic("matplotlib", "inline")
