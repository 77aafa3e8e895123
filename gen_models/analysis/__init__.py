"""Analyses of a trained model that training does not need: anomaly scores, inference, denoising, toy games."""
