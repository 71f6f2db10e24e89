"""The parser of the command line: it takes no abbreviations, and suggests what was meant."""

import argparse
import shlex
import sys
import textwrap
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn

from gradreg_cli.terminal import fold, printable
from gradreg_ref import checks

_SEEDS = 2**31
OUT = "folder for the results (default: %(default)s)"


class _Layout(argparse.HelpFormatter):
    """Help text that fits the terminal: prose is wrapped, an indented line is an example."""

    def _format_action(self, action: argparse.Action) -> str:
        """The help of an option; of all commands, without a line of their own."""
        if isinstance(action, argparse._SubParsersAction):
            return "".join(map(self._format_action, action._get_subactions()))
        return super()._format_action(action)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        """The description or the examples of a command."""
        lines = list[str]()
        for line in text.splitlines():
            example = not line or line.startswith("  ")
            lines += [line] if example else textwrap.wrap(line, width)
        return "\n".join(indent + line for line in lines)


class Parser(argparse.ArgumentParser):
    """A parser without abbreviations, which says what may have been meant."""

    def __init__(self, *args: Any, **options: Any) -> None:
        options.setdefault("formatter_class", _Layout)
        super().__init__(*args, **{"allow_abbrev": False} | options)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        """Refuse here what the command does not know: argparse leaves the refusal to `gradreg`."""
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.print_usage(sys.stderr)
            near = get_close_matches(unknown[0].partition("=")[0], self._option_string_actions, 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            self.error(f"unrecognized arguments: {' '.join(unknown)}{hint}")
        return found, unknown

    def error(self, message: str) -> NoReturn:
        """End with status 2; a message without a suggestion names the help to read."""
        if "did you mean" not in message:
            message += f"; see: gradreg help{self.prog.removeprefix('gradreg')}"
        self.exit(2, f"{self.prog}: error: {message}\n")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """Raise ArgumentError for a value that is no choice of an argument."""
        if action.choices is not None:
            try:
                checks.choice("it", value, action.choices)
            except ValueError as error:
                said = str(error).removeprefix("expected it to be ")
                raise argparse.ArgumentError(action, f"expected {said}") from None

    def _print_message(self, message: str, file: Any = None) -> None:
        """Print a message, which may repeat typed control characters; report a full disk."""
        said = printable(message)
        if file is not None:  # closed by the caller
            file.write(fold(said, error=True) if file is sys.stderr else said)
            file.flush()


def add_count(to: Any, option: str, text: str, default: int | None = None) -> None:
    """Add an option that takes a whole number to a command, or to a group of options."""
    to.add_argument(option, type=int, default=default, metavar="N", help=text)


def add_seed(to: Any, text: str, default: int | None = None) -> None:
    """Add --seed to a command, or to a group of options."""
    to.add_argument("--seed", type=_seed, default=default, metavar="N", help=text)


def _seed(text: str) -> int:
    """A whole number that every generator takes, a thousand times as large too."""
    if not text.isdecimal() or int(text) >= _SEEDS:
        raise argparse.ArgumentTypeError(f"expected a number from 0 to {_SEEDS - 1}, got {text!r}")
    return int(text)


def add_folder(to: Any, name: str, text: str, default: str | None = None) -> None:
    """Add an option, or an argument, that takes a folder."""
    to.add_argument(name, type=Path, default=default, metavar="DIR", help=text)


def sizes(text: str) -> tuple[int, ...]:
    """Sizes as in 3x8x8."""
    parts = text.lower().replace("×", "x").split("x")
    if not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise argparse.ArgumentTypeError(f"expected sizes as in 3x8x8, got {text!r}")
    return tuple(map(int, parts))


def repeated(arguments: argparse.Namespace, *words: object, options: str) -> str:
    """The command line that gives the same again: words, and options as `given` has them."""
    every = ("gradreg", arguments.command, *words, *given(arguments, options))
    return shlex.join(map(str, every))


def given(arguments: argparse.Namespace, names: str) -> list[str]:
    """The options of these names that are not at their defaults, as words of a command.

    A command has its defaults by ``set_defaults(default=command.get_default)``.
    """
    words = list[str]()
    for name in names.split():
        value, option = getattr(arguments, name), f"--{name.replace('_', '-')}"
        if value is True:
            words += [option]
        elif value != arguments.default(name):
            for one in value if isinstance(value, list) else [value]:
                between = "x" if name == "input" else ","
                text = between.join(map(str, one)) if isinstance(one, tuple) else str(one)
                words += [option, text]
    return words
