"""The metrics of a trained model on test rows, a file for each kind; all_metrics.py collects those that apply."""
