"""All runs side by side, beside baselines that need no network."""
