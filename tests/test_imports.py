"""Import hygiene: the reference imports NumPy and SciPy, and no framework."""

import pkgutil
import subprocess
import sys

import pytest

import gradreg_ref

FRAMEWORKS = {"torch", "jax", "jaxlib", "tensorflow", "hypothesis", "matplotlib", "rich"}
MODULES = ["gradreg_ref"] + [
    module.name
    for module in pkgutil.walk_packages(gradreg_ref.__path__, "gradreg_ref.")
    # `strategies` is for tests and for shrinking: it needs the extra `verify`.
    if not module.name.endswith(("__main__", ".strategies"))
]


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
