"""Test vectors for implementations in other languages.

Test vectors compare an implementation in any language with the reference: small networks and inputs
with the penalty and its gradient, as JSON. Export them to a folder, write the numbers of your
implementation to NAME.results.json in the folder, and check the folder. The exit status is 1 if a
number differs.

examples:
  gradreg vectors export vectors
  gradreg vectors check vectors

results of yours, NAME.results.json (docs/vectors.md has the format):
  {"results": [{"name": "00-frobreg",
                "value": {"shape": [], "hex": ["0x1.8p+1"]}}, ...]}
"""

import argparse
from pathlib import Path

from gradreg_cli.parser import add_folder
from gradreg_cli.terminal import say
from gradreg_verify import vectors


def add_options(command: argparse.ArgumentParser) -> None:
    """Add the options."""
    text = (
        "export: write the published vectors, and the mistakes they catch, to the folder; check: "
        "recompute the folder's vectors, and compare every NAME.results.json with them"
    )
    command.add_argument("part", choices=_PARTS, metavar="export | check", help=text)
    add_folder(command, "folder", "folder of vectors; export makes it if it is missing")


def run(arguments: argparse.Namespace) -> int:
    """0: the files are written, or all agree; 1: something differs."""
    return _PARTS[arguments.part](arguments.folder)


def _export(folder: Path) -> int:
    """The files, and where they went."""
    for path in vectors.export(folder):
        say(f"written: {path}")
    return 0


def _check(folder: Path) -> int:
    """0: all agree; 1: something differs."""
    if not folder.is_dir():
        raise ValueError(f"expected a folder of vectors, got {folder}")
    found = vectors.check(folder)
    for sentence in found.wrong:
        say(sentence)
    say(
        f"{len(found.wrong)} differences; {found.cases} vectors recomputed by the reference "
        f"({found.recomputed} numbers; {found.exact} vectors must be equal, the others may differ "
        f"by {vectors.LIMIT:g}), {found.results} files of results held against them "
        f"({found.values} values, {found.gradients} numbers of gradients)"
    )
    for sentence in found.not_compared:
        say(f"not compared: {sentence}")
    if not found.results:
        say("no results yet: write yours to NAME.results.json there (gradreg help vectors)")
    return 1 if found.wrong else 0


_PARTS = {"export": _export, "check": _check}
