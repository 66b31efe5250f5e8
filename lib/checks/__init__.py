"""Validity checks, the pre-registration stamp, attempts and deviations."""
