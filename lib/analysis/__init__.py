"""From tables to numbers and from numbers to a verdict; no model code."""
