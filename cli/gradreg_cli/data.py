"""Look for published image data sets in a folder.

Read MNIST, Fashion-MNIST, CIFAR-10, CIFAR-100 and TinyImageNet, as published, from a folder.
Nothing is downloaded. Print how many images there are, and compare each file with the published MD5
sum. The exit status is 1 if a file is broken, and 2 if no data set is there.

examples:
  gradreg data check data
  gradreg data check data --cache cache
"""

import argparse
import tempfile
from pathlib import Path

from gradreg_experiments.needs import need

from gradreg_cli.parser import add_folder
from gradreg_cli.terminal import say


def add_options(command: argparse.ArgumentParser) -> None:
    """Add the options."""
    text = "say which data sets are there, and whether they are complete and as published"
    command.add_argument("part", choices=["check"], metavar="check", help=text)
    add_folder(command, "folder", "a folder that holds one data set or several")
    kept = "keep the decoded images of TinyImageNet in this folder (default: delete them)"
    add_folder(command, "--cache", kept)


def run(arguments: argparse.Namespace) -> int:
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
