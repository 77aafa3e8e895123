"""Anomaly scores, a file for each kind, and what makes decisions of them: p-values, contributions, calibration."""
