"""The command line: ``gradreg quickstart | backends | verify | agree | data | reproduce | …``.

A command is a module that the entry-point group ``gradreg.commands`` names. Its docstring (a line,
a paragraph, examples) and ``MORE``, if there is one, are its help, ``add_options`` adds its
options, and ``run`` runs it. Exit status: 0 all is well, 1 a claim fails, 2 the command could not
run (a sentence says why).
"""

import argparse
import os
import sys
from argparse import Namespace
from collections.abc import Sequence
from importlib.metadata import entry_points
from inspect import getdoc

from gradreg_cli.parser import Parser
from gradreg_cli.terminal import accept_every_letter, say, sentence
from gradreg_ref import __version__, checks

__all__ = ["main"]

GROUP = "gradreg.commands"
_ABOUT = "Penalties on input gradients: train, check your own, reproduce the paper."
_START = """where to start:
  gradreg quickstart                               train a toy problem, 4 min
  gradreg check model.py:build --input 8x3x32x32   check a penalty on your model
  gradreg verify my.py:penalty --kind spectreg     check a penalty you wrote
  gradreg help verify                              options of verify, examples
README.md and docs/ of the repository explain the penalties and the commands.
"""


def parser(only: str | None = None) -> Parser:
    """The parser of all commands, or of one alone, whose module is then all that is imported."""
    # Without a line for each of its options, the help of all fits 24 lines.
    top = Parser(prog="gradreg", description=_ABOUT, epilog=_START, add_help=False)
    hidden = argparse.SUPPRESS
    top.add_argument("-h", "--help", action="help", help=hidden)
    version = f"gradreg-ref {__version__}"
    top.add_argument("-V", "--version", action="version", version=version, help=hidden)
    top.usage = "gradreg [-h | -V] command ..."
    commands = top.add_subparsers(
        dest="command", metavar="command", parser_class=Parser, title="commands", prog="gradreg"
    )
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        if only not in (None, point.name):
            continue
        try:
            module = point.load()
        except ImportError as error:  # the help of the other commands is still shown
            if only is not None:
                raise
            commands.add_parser(point.name, help=f"cannot be loaded: {error}")
            continue
        first, about, examples = [*(getdoc(module) or point.name).split("\n\n", 2), "", ""][:3]
        command = commands.add_parser(
            point.name,
            help=first[0].lower() + first[1:].removesuffix("."),
            description=" ".join(about.split()),
            epilog=examples + getattr(module, "MORE", ""),
        )
        command.set_defaults(run=module.run, default=command.get_default)
        module.add_options(command)
    return top


def parsed(argv: Sequence[str]) -> Namespace:
    """The arguments of the command named, or the help of all."""
    words = list(argv) or ["--help"]
    if words[0] in ("help", "-h", "--help"):
        words = [*(word for word in words[1:] if not word.startswith("-")), "--help"]
    if words[0] in ("-V", "--version"):
        parser("").parse_args(["--version"])
    if words[0] == "--help":
        parser().parse_args(words)
    try:
        names = sorted({point.name for point in entry_points(group=GROUP)})
        checks.choice("a command", words[0], names)
    except ValueError as error:
        parser("").error(str(error))
    return parser(words[0]).parse_args(words)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; what goes wrong is a sentence, never a traceback."""
    accept_every_letter()  # before any help is printed
    try:
        arguments = parsed(sys.argv[1:] if argv is None else argv)
        from gradreg_verify.frameworks.registry import BackendUnavailable  # slow; imported by now

        try:
            status: int = arguments.run(arguments)
            if sys.stdout is not None:  # closed by the caller
                sys.stdout.flush()
            return status
        except (BackendUnavailable, ValueError, OSError) as error:
            if isinstance(error, BrokenPipeError):
                raise
            say(f"gradreg {arguments.command}: {sentence(error)}", error=True)
        except SystemExit as left:  # no command of ours does so
            said = f"expected code that returns, got SystemExit({left.code!r}) raised by it"
            say(f"gradreg {arguments.command}: {said}", error=True)
        except KeyboardInterrupt as stopped:  # training says how to go on
            say(f"gradreg {arguments.command}: {str(stopped) or 'interrupted'}", error=True)
    except OSError as error:  # of the help, or of the sentence above
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  # for the flush at exit
        if not isinstance(error, BrokenPipeError):  # the reader of the pipe has closed it
            say(f"gradreg: {sentence(error)}", error=True)
    return 2
