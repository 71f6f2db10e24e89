"""``gradreg vectors``: frozen cases for implementations in other languages."""

import argparse
from pathlib import Path
from typing import Any

from gradreg_verify import vectors


def add_to(commands: Any) -> None:
    """The command and its two parts."""
    command = commands.add_parser("vectors", help="frozen test vectors: export them, check them")
    parts = command.add_subparsers(dest="part", required=True)
    export = parts.add_parser("export", help="write the published vectors to a folder")
    export.add_argument("folder", type=Path)
    export.set_defaults(run=run_export)
    check = parts.add_parser(
        "check", help="recompute a folder's vectors, and hold NAME.results.json against them"
    )
    check.add_argument("folder", type=Path)
    check.set_defaults(run=run_check)


def run_export(arguments: argparse.Namespace) -> int:
    """The files, and where they went."""
    for path in vectors.export(arguments.folder):
        print(f"written: {path}")
    return 0


def run_check(arguments: argparse.Namespace) -> int:
    """0: all agree; 1: something differs."""
    if not arguments.folder.is_dir():
        raise ValueError(f"expected a folder of vectors, got {arguments.folder}")
    found = vectors.check(arguments.folder)
    for sentence in found.wrong:
        print(sentence)
    print(
        f"{len(found.wrong)} differences; {found.cases} vectors recomputed by the reference "
        f"({found.recomputed} numbers), {found.results} files of results held against them "
        f"({found.compared} numbers)"
    )
    if not found.results:
        print("no results yet: write yours to NAME.results.json there (see `gradreg help vectors`)")
    return 1 if found.wrong else 0
