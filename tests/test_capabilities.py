"""The table of capabilities in the docs is what the backends declare."""

import re
from pathlib import Path

import pytest

from gradreg_verify.frameworks.registry import BackendUnavailable, load, names

PAGE = Path(__file__).parents[1] / "docs" / "backends.md"
BETWEEN = re.compile(r"(<!-- capabilities -->\n).*?(<!-- /capabilities -->)", re.DOTALL)
ROWS = ("dtypes", "modes", "sides")


def table():
    """Of every backend."""
    found = {name: load(name).capabilities() for name in names()}
    head = [
        "| | " + " | ".join(f"`{name}`" for name in found) + " |",
        "|---" * (1 + len(found)) + "|",
    ]
    rows = [
        f"| {row} | " + " | ".join(", ".join(getattr(c, row)) for c in found.values()) + " |"
        for row in ROWS
    ]
    return "\n".join([*head, *rows]) + "\n"


def written(text):
    return BETWEEN.sub(lambda match: match[1] + table() + match[2], text)


def test_the_docs_say_what_the_backends_declare():
    try:
        expected = written(PAGE.read_text())
    except BackendUnavailable as missing:
        pytest.skip(str(missing))
    assert PAGE.read_text() == expected, "run this file: python tests/test_capabilities.py"


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text()))
