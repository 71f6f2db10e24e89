"""How a check can end, other than with a number."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from gradreg_verify.text import printable


class Broken(AssertionError):
    """A claim does not hold: what was obtained and what was expected."""


class Hung(BaseException):
    """The implementation did not return in time; nothing more is asked of it.

    It says nothing about a claim. No `except Exception` stops it, neither in the kit nor in the
    function that it ends.
    """


class NotTestable(Exception):
    """The check cannot be made with this implementation, and why: neither right nor wrong."""


class NotHere(NotTestable):
    """An example that cannot show whether the claim holds; another example can."""


class NotAsked(NotTestable):
    """A check that is for backends only, or for functions only: nothing is left out."""


def raised(error: BaseException) -> str:
    """Type and text of an exception, as far as it has a text."""
    try:
        text = str(error)
    except Exception:  # its __str__ is the function's too
        text = "(it has no text: its __str__ raises)"
    return f"{type(error).__name__}: {printable(text)}"


def largest(errors: Iterable[float]) -> float:
    """The largest of the errors that a check yields; NotHere where nothing was compared."""
    found = list(errors)
    if not found:
        raise NotHere("nothing of it can be compared")
    return max(found)


@contextmanager
def said(where: str) -> Iterator[None]:
    """Around what is asked in another setting: a failure says in which."""
    try:
        yield
    except Broken as broken:
        raise Broken(f"{where}: {broken}") from broken
