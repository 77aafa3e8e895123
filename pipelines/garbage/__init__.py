"""Finds what `gen-models gc` may remove: leftovers in work/, stale versions and orphans in MLflow, DVC's old cache."""
