"""The Python blocks of README and docs run as tests, one namespace a document."""

from importlib.util import find_spec

import pytest
from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser

# The blocks show torch; without it they are left out, and the report says so.
TORCH = find_spec("torch") is not None
collect_ignore = ["docs/conf.py"]

pytest_collect_file = Sybil(
    parsers=[PythonCodeBlockParser()] if TORCH else [],
    patterns=["README.md", "docs/*.md"],
    # These two have tests of their own, which run them where their libraries are.
    excludes=["docs/jax.md", "docs/recipes.md"],
).pytest()


def pytest_report_header():
    """Say what is left out."""
    return None if TORCH else "torch is not installed: its tests, README and docs are left out"


@pytest.hookimpl(tryfirst=True)  # before xdist reads the marks
def pytest_collection_modifyitems(items):
    """A document's blocks build on one another: one worker runs them all (--dist loadgroup)."""
    for item in items:
        if item.path.suffix == ".md":
            item.add_marker(pytest.mark.xdist_group(item.path.name))
