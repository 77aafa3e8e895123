"""Compares all runs with each other, and with baselines that need no network."""
