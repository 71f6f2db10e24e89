"""The poster's experiments: their settings, its results, and ours beside them."""
