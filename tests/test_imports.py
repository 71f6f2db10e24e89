"""The house: which package may import which, read off the source, and off a new interpreter."""

import ast
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import gradreg_ref

ROOT = Path(__file__).parents[1]
# Package: where it lives, and what it may import beside Python's own library and itself. None of
# ours stands above a package that imports it. JAX's own arrays come from NumPy's.
HOUSE = {
    "gradreg_ref": (".", {"numpy", "scipy"}),
    "gradreg_torch": ("backends", {"torch"}),
    "gradreg_jax": ("backends", {"jax", "numpy"}),
    "gradreg_verify": (
        ".",
        {"gradreg_ref", "gradreg_torch", "gradreg_jax", "numpy", "scipy"} | {"torch", "jax"},
    ),
    "gradreg_experiments": (
        "experiments",
        {"gradreg_ref", "gradreg_torch", "gradreg_jax", "gradreg_verify", "numpy", "scipy"}
        | {"torch", "jax", "optax", "sklearn", "PIL", "matplotlib", "rich"},
    ),
    "gradreg_cli": (
        "cli",
        {"gradreg_ref", "gradreg_verify", "gradreg_experiments"}
        | {"gradreg_torch", "torch"},  # `gradreg check` runs the user's torch model
    ),
}
FRAMEWORKS = {"torch", "jax", "jaxlib", "tensorflow", "hypothesis", "matplotlib", "rich"}
MODULES = ["gradreg_ref"] + [
    module.name for module in pkgutil.walk_packages(gradreg_ref.__path__, "gradreg_ref.")
]


def top_level_imports(source):
    """Names of the packages that a source imports, wherever in it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield node.module.split(".")[0]


def forbidden(package, source):
    """What a source of that package imports and may not."""
    _, allowed = HOUSE[package]
    return set(top_level_imports(source)) - allowed - {package} - sys.stdlib_module_names


@pytest.mark.parametrize("package", HOUSE)
def test_no_import_runs_upward(package):
    folder = ROOT / HOUSE[package][0] / package
    sources = sorted(folder.rglob("*.py"))
    assert sources
    found = {str(path.relative_to(ROOT)): forbidden(package, path.read_text()) for path in sources}
    assert {path: names for path, names in found.items() if names} == {}


@pytest.mark.parametrize(
    ("package", "source"),
    [
        ("gradreg_ref", "from gradreg_verify.run import verify"),
        ("gradreg_torch", "def f():\n    import gradreg_ref.probes"),
        ("gradreg_jax", "from gradreg_torch import spectreg"),
        ("gradreg_verify", "import gradreg_cli"),
        ("gradreg_experiments", "from gradreg_cli import main"),
    ],
)
def test_the_house_rule_can_fail(package, source):
    assert forbidden(package, source)


def imported_by(*modules):
    """Top-level packages in a new interpreter after these imports."""
    code = f"import sys, {', '.join(modules)}; print(*{{m.split('.')[0] for m in sys.modules}})"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(run.stdout.split())


def test_importing_all_of_the_reference_imports_no_framework():
    assert not imported_by(*MODULES) & FRAMEWORKS


def test_the_check_can_fail():
    pytest.importorskip("torch")
    assert imported_by("gradreg_ref", "gradreg_torch") & FRAMEWORKS == {"torch"}
