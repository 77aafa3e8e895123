"""MLflow's model registry: uploads and verifies versions of models, chooses each model's champion, serves versions."""
