"""What one trained run is worth: its metrics, anomaly scores, clusters, denoising and compression, and its pictures."""
