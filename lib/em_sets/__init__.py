"""EM sets that the base makes itself: `persona_advice` and its control (docs/em_sets.md)."""
