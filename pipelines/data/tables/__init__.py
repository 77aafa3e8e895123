"""Tables as they come: opened from CSV, Parquet, .npz or .npy, their columns understood, and turned into numbers."""
