"""What may be removed: leftovers in work/, stale versions and orphans in MLflow, and DVC's cache if asked."""
