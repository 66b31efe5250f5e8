"""The short edition of a run's report that is published in docs/results/."""
