"""Hypothesis profiles, the backends that every claim is checked on, and memory."""

import ctypes
import os
import resource
import sys
import time
from importlib.metadata import version
from importlib.util import find_spec

import pytest
from hypothesis import HealthCheck, Phase, settings

from gradreg_verify import Target
from gradreg_verify.frameworks.registry import BackendUnavailable, load, names

START, USED = pytest.StashKey(), pytest.StashKey()
# glibc keeps memory that a program has freed, two thirds of what a worker had at the end.
give_back = getattr(ctypes.CDLL(None), "malloc_trim", lambda _: None)

# XLA's optimisations take longer than any program of a test. XLA ends a process for a flag that it
# does not know, so the last two are for versions that were tried.
QUICKLY = ["--xla_backend_optimization_level=0", "--xla_llvm_disable_expensive_passes=true"]
if find_spec("jaxlib") and version("jaxlib").startswith(("0.9.", "0.10.")):
    QUICKLY += ["--xla_cpu_use_fusion_emitters=false", "--xla_cpu_parallel_codegen_split_count=1"]
os.environ.setdefault("XLA_FLAGS", " ".join(QUICKLY))  # read by the first import of jax

collect_ignore = (
    []
    if find_spec("torch")
    else [
        "diagnosis",
        "test_toy.py",
        "test_paper.py",
        "runs",
        "test_networks.py",
        "test_reproduce.py",
        "test_recipes.py",
        "torch_backend",
    ]
)
collect_ignore += [] if find_spec("jax") else ["jax_backend"]
# Scripts: doctest collection would import them.
collect_ignore += ["jax_backend/devices.py", "emulated/device.py", "user.py", "browser.py"]
collect_ignore += [] if find_spec("torch") and find_spec("optax") else ["test_agreement.py"]

# "ci" is the same in every run, and has few examples: 10 of them, "mutation", turn 99 % of the
# changes of the reference red. "long" looks for more with fresh seeds (`nox -s explore`).
common = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
same = {"derandomize": True, "database": None, **common}
settings.register_profile("ci", max_examples=20, **same)
settings.register_profile("long", max_examples=2000, print_blob=True, **common)
settings.register_profile("mutation", max_examples=10, phases=[Phase.generate], **same)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


@pytest.fixture(autouse=True, scope="session")
def no_home(tmp_path_factory):
    """What `gradreg verify` remembers of this machine is left alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(autouse=True, scope="module")
def no_programs_left():
    """What one module compiled, no other module needs: a worker's memory stays that of a module."""
    yield
    if jax := sys.modules.get("jax"):
        jax.clear_caches()
    if dynamo := sys.modules.get("torch._dynamo"):
        dynamo.reset()
    give_back(0)


@pytest.hookimpl(tryfirst=True)  # before -m is read
def pytest_collection_modifyitems(items):
    """A claim is checked on examples of Hypothesis, which Hypothesis itself cannot see."""
    for item in items:
        if "target" in getattr(item, "fixturenames", ()):
            item.add_marker("hypothesis")


def pytest_sessionstart(session):
    session.config.stash[START] = time.monotonic()


def pytest_sessionfinish(session):
    """How long this process took and the most memory it had, for the last lines of the report."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # kilobytes on Linux
    took = time.monotonic() - session.config.stash[START]
    said = f"{took:.0f} s, {peak:.1f} GB at most"
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["used"] = said
    else:
        session.config.stash.setdefault(USED, {})["this process"] = said


@pytest.hookimpl(optionalhook=True)  # of xdist
def pytest_testnodedown(node):
    if "used" in getattr(node, "workeroutput", {}):
        node.config.stash.setdefault(USED, {})[node.gateway.id] = node.workeroutput["used"]


def pytest_terminal_summary(terminalreporter, config):
    for process, said in config.stash.get(USED, {}).items():
        terminalreporter.write_line(f"{process}: {said}")


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
            marks = group if name == "jax" else ()  # its programs are compiled once a module
            yield pytest.param(target, id=f"{name}-{device}", marks=marks)


def pytest_generate_tests(metafunc):
    if "target" in metafunc.fixturenames:
        metafunc.parametrize("target", list(targets()), scope="session")
    if "device" in metafunc.fixturenames:
        torch = pytest.importorskip("torch")
        kind = torch.accelerator.current_accelerator()
        here = kind is not None and torch.accelerator.is_available()
        missing = pytest.mark.skipif(not here, reason="no accelerator on this machine")
        accelerator = f"{kind.type}:0" if here else "accelerator"
        metafunc.parametrize("device", ["cpu", pytest.param(accelerator, marks=missing)])
