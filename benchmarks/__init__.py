"""Measured rows: one command, one file of benchmarks/results each. A row is valid while its inputs' hash is."""
