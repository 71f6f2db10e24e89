"""The experiments of the poster: settings, the poster's results, and ours beside them."""
