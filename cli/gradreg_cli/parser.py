"""The parser of the command line: no abbreviations, what may have been meant, what was given."""

import argparse
import textwrap
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any, NoReturn

from gradreg_cli.terminal import printable
from gradreg_ref import checks


class _Layout(argparse.HelpFormatter):
    """Help text that fits the terminal: prose is wrapped, an indented line is an example."""

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

    def all(self) -> Iterator["Parser"]:
        """Yield the parser itself, and the parsers of its commands."""
        yield self
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):
                for inner in action.choices.values():
                    yield from inner.all()

    def error(self, message: str) -> NoReturn:
        """End with status 2: the nearest option to an unknown one, or the help to read."""
        unknown = message.partition("unrecognized arguments: ")[2].split()
        actions = [action for parser in self.all() for action in parser._actions]
        known = [name for action in actions for name in action.option_strings]
        near = get_close_matches(unknown[0].partition("=")[0], known, 1) if unknown else []
        if near:
            message += f"; did you mean {near[0]}?"
        elif "did you mean" not in message:
            program, *command = self.prog.split()
            message += f"; see: {' '.join([program, 'help', *command])}"
        self.exit(2, f"{self.prog}: error: {message}\n")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """One of the choices of an argument."""
        if action.choices is not None:
            try:
                checks.choice("it", value, action.choices)
            except ValueError as error:
                said = str(error).removeprefix("expected it to be ")
                raise argparse.ArgumentError(action, f"expected {said}") from None

    def _print_message(self, message: str, file: Any = None) -> None:
        """A message may repeat what was typed, which need not be letters."""
        super()._print_message(printable(message), file)


def sizes(text: str) -> tuple[int, ...]:
    """Sizes as in 3x8x8."""
    parts = text.lower().replace("×", "x").split("x")
    if not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise argparse.ArgumentTypeError(f"expected sizes as in 3x8x8, got {text!r}")
    return tuple(map(int, parts))


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
