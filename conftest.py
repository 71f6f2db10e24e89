"""The Python blocks of README and docs run as tests, one namespace a document."""

from importlib.util import find_spec

from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser

# They show torch; without it they are left out, and the report says so.
DOCUMENTS = ["README.md", "docs/*.md"] if find_spec("torch") else []
collect_ignore = ["docs/conf.py"]

pytest_collect_file = Sybil(parsers=[PythonCodeBlockParser()], patterns=DOCUMENTS).pytest()


def pytest_report_header():
    """Say what is left out."""
    missing = "torch is not installed: its tests, README.md and docs are left out"
    return None if DOCUMENTS else missing
