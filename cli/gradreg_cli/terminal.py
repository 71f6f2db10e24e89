"""Print to a terminal, a pipe, or a stream that has no λ."""

import io
import os
import shutil
import sys
from textwrap import wrap


def say(text: object, *, word: str = "", colour: str = "", error: bool = False) -> None:
    """Print a text, without the controls that may be in it; one word of it in a colour.

    Parameters
    ----------
    text : object
        Printed at once.
    word, colour : str
        The first such word gets the colour, where colours are shown.
    error : bool
        Print to the stream of errors.
    """
    stream = sys.stderr if error else sys.stdout
    line = printable(str(text))
    line = fold(line, error=True) if error else line
    if word and is_terminal() and not os.environ.get("NO_COLOR"):  # no-color.org
        line = line.replace(word, f"\033[{colour}m{word}\033[0m", 1)
    print(line, file=stream, flush=True)


def printable(text: str) -> str:
    """`gradreg_verify.text.printable`, imported for a text that is not plain: it takes long."""
    if all(line.isascii() and line.isprintable() for line in text.split("\n")):
        return text
    from gradreg_verify import text as texts

    return texts.printable(text)


def sentence(error: Exception) -> str:
    """The message of an error; for an error of the system, the file and the reason."""
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"expected a file or folder to use at {error.filename}, got: {error.strerror}"
    return str(error)


def fold(text: str, *, error: bool = False) -> str:
    """The text with lines that fit a terminal, broken at spaces; elsewhere the text itself.

    Parameters
    ----------
    text : str
        Lines, of which the indented ones stay indented.
    error : bool
        It goes to the stream of errors.
    """
    if not is_terminal(error=error):
        return text
    lines = list[str]()
    for line in text.split("\n"):
        indent = " " * (len(line) - len(line.lstrip()))
        width = max(columns(), len(indent) + 20)
        lines += wrap(line, width, subsequent_indent=indent, break_on_hyphens=False) or [""]
    return "\n".join(lines)


def show_status(text: str = "") -> None:
    """Replace the last line of a terminal; an empty text clears it."""
    if is_terminal():
        print(f"\r\033[K{printable(text)[: columns() - 1]}", end="", flush=True)


def columns() -> int:
    """Return the width of the terminal."""
    return shutil.get_terminal_size().columns


def is_terminal(*, error: bool = False) -> bool:
    """Whether the output, or that of errors, goes to a terminal that can go back in a line."""
    stream = sys.stderr if error else sys.stdout
    here = stream is not None and stream.isatty()
    return here and os.environ.get("TERM", "") not in ("dumb", "unknown")


def accept_every_letter() -> None:
    """Make a stream print ? for a letter that it lacks, such as λ, without an error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
