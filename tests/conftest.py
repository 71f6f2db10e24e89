"""Hypothesis profiles, and the backends that every claim is checked on."""

import os
from importlib.util import find_spec

import pytest
from hypothesis import HealthCheck, Phase, settings

from gradreg_verify import Target
from gradreg_verify.frameworks.registry import BackendUnavailable, load, names

collect_ignore = (
    []
    if find_spec("torch")
    else [
        "test_toy.py",
        "test_paper.py",
        "test_runs.py",
        "test_networks.py",
        "test_reproduce.py",
        "test_recipes.py",
        "torch_backend",
    ]
)
collect_ignore += [] if find_spec("jax") else ["jax_backend"]
# Scripts: doctest collection would import them.
collect_ignore += ["jax_backend/devices.py", "user.py", "browser.py"]
collect_ignore += [] if find_spec("torch") and find_spec("optax") else ["test_agreement.py"]

# Deterministic in CI; HYPOTHESIS_PROFILE=long explores with fresh seeds.
common = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("ci", max_examples=100, derandomize=True, database=None, **common)
settings.register_profile("long", max_examples=2000, **common)
settings.register_profile(
    "mutation", max_examples=10, derandomize=True, database=None, phases=[Phase.generate], **common
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


@pytest.fixture(autouse=True, scope="session")
def no_home(tmp_path_factory):
    """What `gradreg verify` remembers of this machine is left alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


def targets():
    """Every backend on every device that is here; what is missing is skipped with a reason."""
    for name in names():
        try:
            backend = load(name)
        except BackendUnavailable as missing:
            yield pytest.param(None, id=name, marks=pytest.mark.skip(reason=str(missing)))
            continue
        found = backend.capabilities()
        lower = tuple(d for d in ("float32",) if d in found.dtypes)
        for device in found.devices:
            if device.startswith("cpu:"):
                continue  # a part of the same processor
            target, group = Target(backend, device, dtypes=lower), pytest.mark.xdist_group(name)
            marks = group if name == "jax" else ()  # its programs are compiled once a worker
            yield pytest.param(target, id=f"{name}-{device}", marks=marks)


def pytest_generate_tests(metafunc):
    if "target" in metafunc.fixturenames:
        metafunc.parametrize("target", list(targets()), scope="session")
    if "device" in metafunc.fixturenames:
        torch = pytest.importorskip("torch")
        here = torch.cuda.is_available()
        missing = pytest.mark.skipif(not here, reason="no CUDA device on this machine")
        metafunc.parametrize("device", ["cpu", pytest.param("cuda:0", marks=missing)])
