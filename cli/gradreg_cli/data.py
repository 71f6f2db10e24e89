"""``gradreg data check``: which data sets a folder holds, and whether they can be read."""

import argparse
import tempfile
from pathlib import Path
from typing import Any

from gradreg_experiments.needs import need

from gradreg_cli.terminal import say


def add_to(commands: Any) -> None:
    """The command and its one part."""
    command = commands.add_parser("data", help="look for published image data sets in a folder")
    parts = command.add_subparsers(dest="part", required=True)
    check = parts.add_parser(
        "check", help="say of every known data set whether it is there, whole and as published"
    )
    check.add_argument("folder", type=Path, help="a folder that holds one data set or several")
    check.add_argument(
        "--cache", type=Path, help="keep decoded images in this folder (default: throw them away)"
    )
    check.set_defaults(run=run_check)


def run_check(arguments: argparse.Namespace) -> int:
    """0: what is there can be read; 1: something is broken; 2: nothing known is there."""
    need("data check", "PIL")
    from gradreg_experiments.data import check

    if not arguments.folder.is_dir():
        raise ValueError(f"expected a folder with data sets, got {arguments.folder}")
    there = broken = 0
    with tempfile.TemporaryDirectory() as temporary:
        for finding in check(arguments.folder, arguments.cache or Path(temporary)):
            say(finding.text)
            there += finding.there
            broken += finding.broken
    say(f"data sets there: {there}; broken: {broken}")
    if not there:
        return 2
    return 1 if broken else 0
