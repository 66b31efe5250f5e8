"""Everything that the notebooks call from more than one cell; data flows one way through its modules."""

import os as _os

from lib.setup.caches import settle as _settle

_settle()  # before a library that reads these variables is imported
_os.environ.pop("MPLBACKEND", None)  # lib/display/inline.py chooses; a name that matplotlib does not know would stop its import
