"""One training run by every backend: do they stay together, step after step?"""
