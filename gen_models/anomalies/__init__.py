"""Anomaly scores, a file for each kind, and p-values, contributions and calibration, which turn them into decisions."""
