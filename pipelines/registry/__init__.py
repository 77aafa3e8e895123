"""MLflow's registry: versions whose files are verified, which of them is champion, and how they are served."""
