"""What is asked of a trained model, and no training needs: anomaly scores, inference, denoising, toy games."""
