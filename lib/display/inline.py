"""Choose matplotlib's back end, whatever the environment names."""

from __future__ import annotations

import matplotlib


def choose() -> None:
    """Set the notebook's own back end in a kernel, else one that needs no display.

    MPLBACKEND and a matplotlibrc are ignored.
    """
    from IPython import get_ipython

    shell = get_ipython()
    if shell is None or not hasattr(shell, "kernel"):
        matplotlib.use("agg")
    else:
        shell.run_line_magic("matplotlib", "inline")
