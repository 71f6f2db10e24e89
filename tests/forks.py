"""Processes that need not import torch: forks of one process that has imported it.

A process of the tests has threads, and is not forked itself.
"""

from multiprocessing import get_context

PRELOADED = ["torch._dynamo", "sklearn.datasets", "gradreg_experiments.runs.sweep"]


def context():
    """As ``multiprocessing.get_context("spawn")``; use it in tests of one ``xdist_group``."""
    forks = get_context("forkserver")
    forks.set_forkserver_preload(PRELOADED)
    return forks
