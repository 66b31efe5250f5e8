"""Everything that the notebooks call from more than one cell; data flows one way through its modules."""
