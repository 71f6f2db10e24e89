"""The command line: ``gradreg quickstart | backends | verify | agree | data | reproduce | …``.

A command is a module that the entry-point group ``gradreg.commands`` names. Exit status: 0 all is
well, 1 a claim fails, 2 the command could not run (a sentence says why).
"""

import argparse
import io
import os
import sys
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from importlib.metadata import entry_points
from typing import NoReturn

from gradreg_ref import __version__

GROUP = "gradreg.commands"


class Parser(argparse.ArgumentParser):
    """A parser without abbreviations, which says what may have been meant."""

    def __init__(self, *args: object, **options: object) -> None:
        super().__init__(*args, **options | {"allow_abbrev": False})  # type: ignore[arg-type]

    def all(self) -> Iterator["Parser"]:
        """Yield the parser itself, and the parsers of its commands."""
        yield self
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):
                for inner in action.choices.values():
                    yield from inner.all()

    def error(self, message: str) -> NoReturn:
        """End with status 2 and the option that is nearest to an unknown one."""
        unknown = message.partition("unrecognized arguments: ")[2].split()
        actions = [action for parser in self.all() for action in parser._actions]
        known = [name for action in actions for name in action.option_strings]
        near = get_close_matches(unknown[0], known, 1) if unknown else []
        super().error(message + (f"; did you mean {near[0]}?" if near else ""))


def parser(only: str | None = None) -> Parser:
    """The parser of all commands, or of one alone, whose module is then all that is imported."""
    top = Parser(prog="gradreg", description="Penalties on input gradients.")
    top.add_argument("-V", "--version", action="version", version=f"gradreg-ref {__version__}")
    commands = top.add_subparsers(dest="command", metavar="command", parser_class=Parser)
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        if only in (None, point.name):
            point.load().add_to(commands)
    return top


def parsed(argv: Sequence[str]) -> argparse.Namespace:
    """The arguments of the command named, or the help of all."""
    names = {point.name for point in entry_points(group=GROUP)}
    words = [word for word in argv if not word.startswith("-")]
    if argv and argv[0] in ("-V", "--version"):
        parser("").parse_args(["--version"])
    if not argv or argv[0] in ("help", "-h", "--help"):
        parser(words[1] if words[1:] else None).parse_args([*words[1:2], "--help"])
    if argv[0] not in names:
        near = get_close_matches(argv[0], names, 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        parser("").error(
            f"expected a command among {', '.join(sorted(names))}, got {argv[0]}{hint}"
        )
    return parser(argv[0]).parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; what goes wrong is a sentence, never a traceback."""
    arguments = parsed(sys.argv[1:] if argv is None else argv)
    from gradreg_verify.frameworks.registry import BackendUnavailable  # slow, and imported by now

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without ‖ still gets its verdicts
    try:
        status: int = arguments.run(arguments)
        if sys.stdout is not None:  # closed by the caller
            sys.stdout.flush()
    except BrokenPipeError:  # the reader has seen enough
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  # for the flush at exit
        return 2
    except (BackendUnavailable, ValueError, OSError) as error:
        print(f"gradreg {arguments.command}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as stopped:  # training says how to go on
        print(f"gradreg {arguments.command}: {str(stopped) or 'interrupted'}", file=sys.stderr)
        return 2
    return status
