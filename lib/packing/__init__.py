"""A run in one file: adapters, tables and records, to be taken on by another checkout."""
