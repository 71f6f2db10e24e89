"""Print BibTeX of the paper, of this software and of a report.

Print BibTeX entries of the paper and of this software and, if you name a report, of the report with
its digest. A report that was changed is refused.

examples:
  gradreg cite
  gradreg cite report.json
"""

import argparse
from pathlib import Path

from gradreg_cli.terminal import say
from gradreg_ref import __version__
from gradreg_verify.report import render

_PAPER = """@article{varga2017gradient,
  title = {Gradient Regularization Improves Accuracy of Discriminative Models},
  author = {Varga, D{\\'a}niel and Csisz{\\'a}rik, Adri{\\'a}n and Zombori, Zsolt},
  journal = {arXiv:1712.09936},
  year = {2017}
}
"""
_SOFTWARE = f"""@software{{gradregref,
  title = {{gradreg-ref: a property-tested reference for penalties on input gradients}},
  author = {{{{The gradreg-ref developers}}}},
  version = {{{__version__}}}
}}
"""


def add_options(command: argparse.ArgumentParser) -> None:
    """Add the options."""
    text = "a file that gradreg verify --report wrote"
    command.add_argument("report", type=Path, nargs="?", metavar="REPORT.json", help=text)


def run(arguments: argparse.Namespace) -> int:
    """Print the entries."""
    entries = [_PAPER, _SOFTWARE]
    if arguments.report:
        entries.append(render.bibtex(render.read(arguments.report)))
    say("\n".join(entries).rstrip("\n"))
    return 0
