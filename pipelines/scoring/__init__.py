"""Scores of new rows, and what to do about them: p-values, decisions, reasons, pictures, drift."""
