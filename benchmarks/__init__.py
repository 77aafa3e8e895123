"""Benchmarks. A command measures a row and writes it to benchmarks/results; it is valid while its inputs' hash is."""
