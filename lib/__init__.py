"""Everything that the notebooks call from more than one cell; data flows one way through its modules."""

from lib.caches import settle as _settle

_settle()  # before a library that reads these variables is imported
