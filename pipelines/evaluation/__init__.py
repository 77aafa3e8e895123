"""Evaluates one trained run: metrics, anomaly scores, clusters, denoising errors, compression rates and pictures."""
