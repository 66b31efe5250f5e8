"""Parameters, conditions and gates: what a run is, typed and checked."""
