"""Scores new rows, and says what the scores mean: p-values, decisions, reasons, pictures, drift."""
