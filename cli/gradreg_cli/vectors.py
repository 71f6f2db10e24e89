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
    wrong = vectors.check(arguments.folder)
    for sentence in wrong:
        print(sentence)
    results = len(list(arguments.folder.glob("*.results.json")))
    print(f"{len(wrong)} differences; vectors recomputed by the reference, {results} results read")
    return 1 if wrong else 0
