"""The pictures of a trained model. all_plots.py draws all that the model's capabilities allow."""
