"""``gradreg vectors``: frozen cases for implementations in other languages."""

import argparse
from typing import Any

from gradreg_cli.parser import add_folder
from gradreg_cli.terminal import say
from gradreg_verify import vectors

_FORMAT = """results of yours, NAME.results.json (docs/vectors.md has the format):
  {"results": [{"name": "00-frobreg",
                "value": {"shape": [], "hex": ["0x1.8p+1"]}}, ...]}
"""
_EXAMPLES = """examples:
  gradreg vectors export vectors
  gradreg vectors check vectors
"""
_ABOUT = (
    "Test vectors compare an implementation in any language with the reference: small networks "
    "and inputs with the penalty and its gradient, as JSON. Export them to a folder, write the "
    "numbers of your implementation to NAME.results.json in the folder, and check the folder."
)


def add_to(commands: Any) -> None:
    """The command and its two parts."""
    command = commands.add_parser(
        "vectors",
        help="test vectors for implementations in other languages",
        description=_ABOUT,
        epilog=_EXAMPLES,
    )
    parts = command.add_subparsers(required=True, metavar="export | check")
    export = parts.add_parser(
        "export",
        help="write the published vectors, and the mistakes they catch, to a folder",
        description=_ABOUT,
        epilog=_EXAMPLES,
    )
    add_folder(export, "folder", "where to write them; created if it is missing")
    export.set_defaults(run=_run_export)
    check = parts.add_parser(
        "check",
        help="recompute a folder's vectors, and compare NAME.results.json with them",
        description="Recompute the vectors of a folder with the reference, and compare every "
        "NAME.results.json in the folder with them. The exit status is 1 if a number differs.",
        epilog=f"{_EXAMPLES}\n{_FORMAT}",
    )
    add_folder(check, "folder", "folder with vectors, and with your results")
    check.set_defaults(run=_run_check)


def _run_export(arguments: argparse.Namespace) -> int:
    """The files, and where they went."""
    for path in vectors.export(arguments.folder):
        say(f"written: {path}")
    return 0


def _run_check(arguments: argparse.Namespace) -> int:
    """0: all agree; 1: something differs."""
    if not arguments.folder.is_dir():
        raise ValueError(f"expected a folder of vectors, got {arguments.folder}")
    found = vectors.check(arguments.folder)
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
        say("no results yet: write yours to NAME.results.json there (gradreg help vectors check)")
    return 1 if found.wrong else 0
