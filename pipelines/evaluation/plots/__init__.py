"""The pictures of a trained model; all_plots.py draws all those that the model's capabilities allow."""
