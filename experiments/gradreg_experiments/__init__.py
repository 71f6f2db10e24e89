"""Experiments of the paper on top of `gradreg_torch`: data, training, tables and figures."""
