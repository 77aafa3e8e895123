"""Benchmarks. A command measures a row and writes it to benchmarks/results; the row is stale once its inputs change."""
