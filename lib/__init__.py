"""Everything that the notebooks call. Data flows one way through the packages."""

import os

from lib.setup.caches import settle

settle()  # before a library that reads these variables is imported
# lib/display/inline.py chooses the backend. A name unknown to matplotlib would stop its import.
os.environ.pop("MPLBACKEND", None)
