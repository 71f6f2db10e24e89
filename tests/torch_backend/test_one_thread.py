"""Tiny networks are computed on one thread, and by the kit in full float32.

Threads that wait for each other take ten times as long where another process keeps a core busy.
"""

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest
import torch
from gradreg_experiments.toy.problem import Setting
from gradreg_experiments.toy.training import sweep

from gradreg_verify import verify
from gradreg_verify.frameworks.torch.backend import TorchBackend
from gradreg_verify.mistakes.self_test import quiet_worker


@pytest.fixture
def three_threads():
    threads = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    left = torch.get_num_threads()
    torch.set_num_threads(threads)
    assert left == 3, "the caller's threads are given back"


@pytest.mark.usefixtures("three_threads")
def test_a_function_is_verified_on_one_thread():
    seen = set()

    def squared_weights(model):
        seen.add(torch.get_num_threads())
        return sum(p.square().sum() for p in model.parameters() if p.ndim > 1)

    assert verify(squared_weights, "weight_decay").ok
    assert seen == {1}


@pytest.mark.usefixtures("three_threads")
def test_a_backend_is_verified_on_one_thread():
    seen = set()

    class Counts(TorchBackend):
        def run(self, *at, **options):
            seen.add(torch.get_num_threads())
            raise RuntimeError("every claim ends here")

    assert not verify(Counts()).ok
    assert seen == {1}


@pytest.mark.skipif(not hasattr(torch.backends, "fp32_precision"), reason="of torch 2.9")
def test_a_function_is_verified_in_full_float32(monkeypatch):
    """torch's older names of this setting raise an error once the newer one is set."""
    monkeypatch.setattr(torch.backends.cuda.matmul, "fp32_precision", "tf32")
    seen = set()

    def squared_weights(model):
        seen.add(torch.backends.cuda.matmul.fp32_precision)
        return sum(p.square().sum() for p in model.parameters() if p.ndim > 1)

    assert verify(squared_weights, "weight_decay").ok
    assert seen == {"ieee"}
    assert torch.backends.cuda.matmul.fp32_precision == "tf32"


def test_a_worker_of_the_self_test_has_one_thread(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    with ProcessPoolExecutor(1, get_context("spawn"), quiet_worker) as pool:
        assert pool.submit(torch.get_num_threads).result() == 1


@pytest.mark.usefixtures("three_threads")
def test_a_sweep_trains_on_one_thread(monkeypatch):
    seen, step = set(), torch.optim.Adam.step

    def watched(*arguments, **options):
        seen.add(torch.get_num_threads())
        return step(*arguments, **options)

    monkeypatch.setattr(torch.optim.Adam, "step", watched)
    sweep("SpectReg", (0,), Setting((1,), 3))
    assert seen == {1}
