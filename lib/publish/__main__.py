"""`make publish RUN=name`: a short edition of a run's report in docs/results/name/.

`python -m lib.publish [RUN]`; without an argument, RUN is read from the environment.
"""

from __future__ import annotations

import os
import sys

from lib.publish.edition import publish
from lib.run.paths import shown
from lib.run.runs import Run


def main(given: list[str]) -> int:
    """Publish a run, or leave what is there. Returns the exit code; an error is one line."""
    name = given[0] if given else os.environ.get("RUN", "")
    try:
        if not name:
            raise ValueError("RUN is missing; give make publish RUN=name")
        folder, changed = publish(Run(name))
    except (ValueError, OSError) as error:
        print(f"make publish: {error}", file=sys.stderr)
        return 2
    state = "published" if changed else "unchanged"
    print(f"{state}: {shown(folder)}/index.html")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
