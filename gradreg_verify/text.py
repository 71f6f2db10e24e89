"""Texts of other people, made safe for a terminal or a page: no control characters remain."""

import re
import unicodedata

# Controls but line feed and tab, halves of surrogate pairs, and signs that turn the direction.
_HIDDEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def printable(text: str) -> str:
    r"""The text with every sign that a terminal would obey written out, as \\x1b.

    >>> printable("\x1b[31mred\u202e\udcff")
    '\\x1b[31mred\\u202e\\udcff'
    """
    if text.isascii() and text.isprintable():
        return text
    return re.sub(r"[^\n\t\x20-\x7e]", lambda found: _written(found.group()), text)


def _written(sign: str) -> str:
    """A sign, or its escape if it is one that cannot be seen."""
    if unicodedata.category(sign) not in _HIDDEN:
        return sign
    return sign.encode("unicode_escape").decode("ascii")
