"""Opens users' tables (CSV, Parquet, .npz, .npy), finds out what their columns hold, and turns them into numbers."""
