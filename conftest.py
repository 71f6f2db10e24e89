"""README and docs run as tests, one namespace a document; which tests share a worker."""

from importlib.util import find_spec

import pytest
from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser

# The blocks show torch; without it they are left out, and the report says so.
TORCH = find_spec("torch") is not None
# The first need docs/requirements.txt and have no examples; torchrun runs the last.
collect_ignore_glob = ["docs/*.py", "tests/torch_backend/rank_faults.py"]

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
    """Keep together what shares a namespace or compiled programs (--dist loadgroup).

    A document's blocks build on one another. A group of tests is one of its own module: a worker
    forgets compiled programs after each, and groups that are small are shared out evenly.
    """
    for item in items:
        if item.path.suffix == ".md" or item.get_closest_marker("xdist_group"):
            item.add_marker(pytest.mark.xdist_group(item.path.name))
