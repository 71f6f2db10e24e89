"""The registry, the protocol, and what is said where something is missing."""

import numpy as np
import pytest

from gradreg_ref.networks import Linear, Network
from gradreg_verify.frameworks import registry as backends
from gradreg_verify.frameworks.registry import (
    Backend,
    BackendUnavailable,
    Capabilities,
    choose,
    load,
    names,
    require_device,
)

NET = Network((Linear(np.array([[1.0, 2.0], [3.0, 4.0]]), np.zeros(2)),))
X = np.ones((3, 2))


def test_bundled_backends_are_registered():
    assert {"loopback", "torch"} <= set(names())


def test_backends_follow_the_protocol(target):
    assert isinstance(target.backend, Backend)
    assert "float64" in target.backend.capabilities().dtypes


def test_a_backend_gives_plain_arrays(target):
    value = target.backend.value("frobreg", NET, X, device=target.device)
    gradient = target.backend.gradient("frobreg", NET, X, device=target.device)
    assert value == 30.0
    assert gradient.tolist() == [2.0, 4.0, 6.0, 8.0, 0.0, 0.0]
    assert value.dtype == gradient.dtype == np.float64


def test_unknown_names(target):
    backend = target.backend
    with pytest.raises(ValueError, match="expected penalty to be one of frobreg"):
        backend.value("spectral", NET, X)
    with pytest.raises(ValueError, match="expected dtype to be one of float64"):
        backend.value("frobreg", NET, X, dtype="float8")
    with pytest.raises(BackendUnavailable, match=r"device of backend .* among cpu.*; got 'cuda:9'"):
        backend.value("frobreg", NET, X, device="cuda:9")
    with pytest.raises(BackendUnavailable, match="got 'tpu'"):
        require_device(backend, "tpu")
    with pytest.raises(ValueError, match=r"expected a backend among .*loopback"):
        load("tensorflow")


def test_a_backend_without_its_framework_names_the_extra(monkeypatch):
    class Point:
        name = "torch"

        def load(self):
            raise ModuleNotFoundError("No module named 'torch'", name="torch")

    monkeypatch.setattr(backends, "entry_points", lambda group: [Point()])
    with pytest.raises(
        BackendUnavailable, match=r"needs torch.* pip install 'gradreg-ref\[torch\]'"
    ):
        load("torch")


class Elsewhere:
    """A backend with these devices."""

    def __init__(self, name, *devices):
        self.name, self.devices = name, devices

    def capabilities(self):
        return Capabilities("none", dict.fromkeys(self.devices, ""), ("float64",), ("reverse",))


@pytest.mark.parametrize(
    ("asked", "here", "picked"),
    [
        (("auto", "auto"), {"torch": ["cpu"], "jax": ["cpu", "gpu:0"]}, ("torch", "cpu")),
        (("auto", "auto"), {"torch": ["cpu", "cuda:0", "cuda:1"]}, ("torch", "cuda:0")),
        (("auto", "gpu:0"), {"torch": ["cpu"], "jax": ["cpu", "gpu:0"]}, ("jax", "gpu:0")),
        (("auto", "auto"), {"jax": ["cpu", "cpu:1", "gpu:0"]}, ("jax", "gpu:0")),
        (("jax", "auto"), {"jax": ["cpu", "cpu:1"]}, ("jax", "cpu")),
        (("jax", "cpu"), {"jax": ["cpu", "gpu:0"]}, ("jax", "cpu")),
    ],
)
def test_the_rule_of_auto(monkeypatch, asked, here, picked):
    def found(name):
        if name not in here:
            raise BackendUnavailable(f"pip install 'gradreg-ref[{name}]'")
        return Elsewhere(name, *here[name])

    monkeypatch.setattr(backends, "load", found)
    backend, device = choose(*asked)
    assert (backend.name, device) == picked


def test_auto_where_nothing_is_here_says_what_to_install(monkeypatch):
    def missing(name):
        raise BackendUnavailable(f"pip install 'gradreg-ref[{name}]'")

    monkeypatch.setattr(backends, "load", missing)
    with pytest.raises(BackendUnavailable, match=r"gradreg-ref\[torch\].*gradreg-ref\[jax\]"):
        choose()
