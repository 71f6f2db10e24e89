"""The front door: ``nox -s quickstart`` is the main job, ``nox -s tests`` all that must hold."""

import shutil
from pathlib import Path

import nox

nox.options.sessions = ["lint", "tests", "docs", "wheel"]
nox.options.reuse_existing_virtualenvs = True

TORCH = "torch==2.13.0"
JAX = ("jax>=0.10", "optax>=0.2.5", "equinox>=0.13", "flax>=0.12")
TRAINERS = ("lightning>=2.5", "transformers>=5", "accelerate>=1.10", "keras>=3.11", "skorch>=1.2")
# pytest 9.2 drops the groups of xdist 3.8, by which a document's blocks stay in one worker.
TESTS = ["pytest>=8,<9.2", "pytest-xdist>=3.6", "hypothesis>=6.130", "sybil>=9", "sympy>=1.13"]
OLDEST = {"torch": "torch==2.8.0", "jax": "jax==0.9.0"}
# Not single layers, FSDP2 and compiled steps, which differ between versions.
VERSIONED = {
    "torch": [
        f"tests/torch_backend/test_{name}.py"
        for name in (
            "forms",
            "modes",
            "steps",
            "arguments",
            "refusals",
            "forward_trial",
            "precision",
            "batch_norm_twice",
            "batch",
        )
    ],
    "jax": [
        f"tests/jax_backend/test_{name}.py"
        for name in ("jax", "batch", "chunks", "objective", "traced", "convolution", "verify")
    ],
}
NOT_COMPILED = ("--deselect", "tests/torch_backend/test_batch.py::test_compiled")
OF_ANY = ("test_backends", "test_capabilities", "test_cli", "test_imports")
# One thread a worker: the networks are tiny, and two workers share two cores.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


@nox.session
def tests(session):
    """Every law on every backend, the examples of README and docs; arguments go to pytest."""
    session.install(TORCH, *JAX, *TESTS)
    session.install("-e", ".[experiments]")
    workers = ("-n", "2", "--dist", "loadgroup", "--durations=10")
    session.run("pytest", *workers, *session.posargs, env=ONE_THREAD)


@nox.session
def explore(session):
    """The laws on 2000 fresh examples each: long. A failure prints how to see it again."""
    session.install(TORCH, *JAX, *TESTS)
    session.install("-e", ".[experiments]")
    workers = ("-n", "2", "--dist", "loadgroup", "--durations=10", "-m", "hypothesis")
    env = {**ONE_THREAD, "HYPOTHESIS_PROFILE": "long"}
    session.run("pytest", *workers, *session.posargs, env=env)


@nox.session
def lint(session):
    """Style and strict types."""
    session.install(TORCH, *JAX, "ruff>=0.14", "mypy>=1.18")
    session.install("-e", ".[experiments]")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy")


@nox.session
@nox.parametrize("framework", ["torch", "jax"])
def alone(session, framework):
    """One framework without the other: it works, and what is missing is named."""
    session.install(TORCH if framework == "torch" else JAX[0], *TESTS)
    session.install("-e", f".[{framework}]")
    session.run("gradreg", "backends")
    own = {"torch": ["test_forms"], "jax": ["test_jax", "test_closures"]}[framework]
    files = [*OF_ANY, *(f"{framework}_backend/{name}" for name in own)]
    session.run("pytest", *(f"tests/{name}.py" for name in files), env=ONE_THREAD)


@nox.session
@nox.parametrize("framework", ["torch", "jax"])
def oldest(session, framework):
    """The oldest promised version; a large download, so not in CI. See docs/backends.md."""
    session.install(OLDEST[framework], *TESTS, "optax>=0.2.5")
    session.install("-e", ".")
    session.run("gradreg", "verify", framework)
    session.run("pytest", *VERSIONED[framework], *NOT_COMPILED, env=ONE_THREAD)


@nox.session
@nox.parametrize("framework", ["torch", "jax"])
def newest(session, framework):
    """The newest version that pip finds; a large download, so not in CI."""
    session.install("--upgrade", framework, *TESTS, "optax>=0.2.5")
    session.install("-e", ".")
    session.run("gradreg", "verify", framework)
    session.run("pytest", *VERSIONED[framework], env=ONE_THREAD)


@nox.session
def recipes(session):
    """The training loops of other libraries, against those libraries."""
    session.install(TORCH, JAX[0], *TRAINERS, *TESTS)
    session.install("-e", ".")
    session.run("pytest", "tests/test_recipes.py", env=ONE_THREAD)


@nox.session
def device(session):
    """The torch backend on an emulated accelerator; needs a C++ compiler."""
    session.install(TORCH, *TESTS, "ninja", "setuptools")
    session.install("-e", ".")
    args = ("-p", "tests.emulated.device", "-k", "emulated", "tests/torch_backend/test_forms.py")
    session.run("python", "-m", "pytest", *args, "tests/emulated", *session.posargs, env=ONE_THREAD)


@nox.session
def docs(session):
    """The documentation as HTML; a warning is an error."""
    session.install(TORCH, JAX[0], "-r", "docs/requirements.txt")
    session.install("-e", ".")
    to_html = ("-EW", "--keep-going", "-b", "html", "docs", "docs/_build/html")
    session.run("sphinx-build", *to_html, env=ONE_THREAD)


@nox.session
def browser(session):
    """The documentation in headless Chromium, after `nox -s docs`; needs Debian's chromium."""
    session.install("playwright>=1.50")
    chromium = shutil.which("chromium")
    if chromium is None:
        session.skip("no chromium on this machine: apt-get install chromium")
    pictures = str(Path(session.create_tmp()).resolve())
    session.run("python", "tests/browser.py", "docs/_build/html", pictures, chromium)


@nox.session
def quickstart(session):
    """The main job: verify the torch backend, train the toy problem, draw the figure."""
    session.install(TORCH)
    session.install("-e", ".[experiments]")
    session.run("gradreg", "quickstart", *session.posargs)


@nox.session
def verify(session):
    """The kit on its catalogue, the torch backend (or `nox -s verify -- my.py:penalty …`)."""
    session.install(TORCH)
    session.install("-e", ".")
    session.run("gradreg", "verify", *(session.posargs or ["torch", "--self-test"]))


@nox.session
def bench(session):
    """What a step costs, on one thread: an hour (`-- --networks LeNet` for torch's LeNet)."""
    session.install(TORCH, JAX[0])
    session.install("-e", ".[experiments]")
    out = ("--out", "benchmarks/results/cpu.json")
    session.run("python", "benchmarks/step_cost.py", *(session.posargs or out), env=ONE_THREAD)
    if not session.posargs:
        jax = ("benchmarks/jax_step_cost.py", "--out", "benchmarks/results/jax_cpu.json")
        session.run("python", *jax, env=ONE_THREAD)
        stacked = ("benchmarks/stacked_seeds.py", "--out", "benchmarks/results/stacked_cpu.json")
        session.run("python", *stacked, env=ONE_THREAD)
        policy = ("benchmarks/policy.py", "--out", "benchmarks/results/policy_cpu.json")
        session.run("python", *policy, env=ONE_THREAD)
        session.run("python", "benchmarks/report.py")


@nox.session
def mutation(session):
    """Which changes of the reference and of the torch backend no test notices: half an hour."""
    session.install(TORCH, *TESTS, "mutmut==3.8.1")
    session.install("-e", ".[experiments]")
    for part in session.posargs or ("reference", "torch"):
        folder = Path(session.create_tmp()).resolve() / part
        env = {**ONE_THREAD, "HYPOTHESIS_PROFILE": "mutation"}
        session.run("python", "tests/mutation.py", part, str(folder), env=env)


@nox.session
@nox.parametrize("extra", ["", "torch", "all"])
def wheel(session, extra):
    """Sdist and wheel, built, installed as a user would, and tried, types too."""
    session.install("build", "mypy>=1.18")
    dist = Path(session.create_tmp()).resolve()
    for old in dist.glob("gradreg_ref-*"):
        old.unlink()
    session.run("python", "-m", "build", "--outdir", str(dist), ".")
    session.run("python", "tests/wheel_contents.py", str(dist))
    (package,) = dist.glob("*.whl" if extra else "*.tar.gz")
    session.run("python", "-m", "pip", "uninstall", "--yes", "gradreg-ref", silent=True)
    # torch by its pin in the same breath, or an unpinned one is fetched.
    wanted = [TORCH, f"{package}[{extra}]"] if extra else [str(package)]
    session.install(*wanted)
    user = Path("tests/user.py").resolve()
    with session.chdir(dist):  # away from the checkout, whose packages would be found first
        session.run("gradreg", "backends")
        if extra:
            session.run("python", str(user))
            # torch's own backward() has no types.
            session.run("mypy", "--config-file=", "--strict", "--allow-untyped-calls", str(user))
        else:
            session.run("gradreg", "verify", "loopback")
            session.run("gradreg", "quickstart", success_codes=[2])  # names the extra to install
