"""Sampling engines, their comparison with the training stack, and the capability check."""
