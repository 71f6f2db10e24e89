"""Problems are gathered: a user repairs a data set once, not file by file."""

from collections.abc import Callable, Iterable
from typing import Any

SHOWN = 10


class Broken(ValueError):
    """Everything that is wrong with a data set.

    Parameters
    ----------
    sentences : sequence of str
        One for each problem; it names the file.
    obtained : str
        Where the data set is obtained; "" if the reader of the whole set is to add it.
    """

    def __init__(self, sentences: Iterable[str], obtained: str = "") -> None:
        self.sentences = tuple(sentences)
        shown = self.sentences[:SHOWN]
        more = len(self.sentences) - len(shown)
        rest = [f"and {more} more; `gradreg data check` lists all"] if more else []
        super().__init__("\n".join([*shown, *rest, *filter(None, [obtained])]))


def gather(readers: Iterable[Callable[[], Any]]) -> list[Any]:
    """What each reader gives; if any fails, the problems of all of them."""
    results, sentences = list[Any](), list[str]()
    for read in readers:
        try:
            results.append(read())
        except (ValueError, OSError) as error:
            sentences += error.sentences if isinstance(error, Broken) else [str(error)]
    if sentences:
        raise Broken(sentences)
    return results
