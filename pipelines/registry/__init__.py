"""MLflow's model registry: uploads versions and verifies their files, chooses the champion, and serves them."""
