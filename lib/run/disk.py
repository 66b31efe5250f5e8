"""What a run takes on disk, by part, and what is free."""

from __future__ import annotations

import shutil

from lib.run.runs import Run

UNITS = ("B", "kB", "MB", "GB", "TB")
SHOWN_PARTS = 3


def size(count: int | float) -> str:
    """Bytes as a person says them."""
    unit = 0
    while count >= 1000 and unit < len(UNITS) - 1:
        count /= 1000
        unit += 1
    return f"{count:.0f} {UNITS[unit]}" if unit < 2 else f"{count:.1f} {UNITS[unit]}"


def usage(run: Run) -> dict[str, int]:
    """Bytes of a run by the folder or file directly in it, the largest first."""
    parts: dict[str, int] = {}
    for path in run.dir.rglob("*"):
        if path.is_file() and not path.is_symlink():
            part = path.relative_to(run.dir).parts[0]
            parts[part] = parts.get(part, 0) + path.stat().st_size
    return dict(sorted(parts.items(), key=lambda item: item[1], reverse=True))


def line(run: Run) -> str:
    """Everything in one line: the whole, the largest parts, what is free."""
    parts = usage(run)
    largest = [f"{name} {size(count)}" for name, count in list(parts.items())[:SHOWN_PARTS]]
    free = shutil.disk_usage(run.dir).free
    return f"{size(sum(parts.values()))} ({', '.join(largest)}); {size(free)} free"
