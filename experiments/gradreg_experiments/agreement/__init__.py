"""The same training run by every backend, compared after every step."""
