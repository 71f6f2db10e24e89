"""How figures look, and how they become bytes."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from textwrap import fill
from typing import Any

import matplotlib
from matplotlib.figure import Figure

# Okabe and Ito's colours, told apart by the colour-blind, and different in lightness.
PLAIN, BEST, TOO_LARGE, DOUBLEBACK = "#D55E00", "#0072B2", "#56B4E9", "#CC79A7"
TRUTH, FAINT = "#222222", "#999999"
WIDTH = 5.2  # inches: letters are then legible where a page shows the figure 400 pixels wide
LETTERS = 64  # of a title, in a line
STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.titlesize": 9,
    "figure.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "lines.linewidth": 1.3,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "legend.handlelength": 1.4,
    "svg.hashsalt": "gradreg",
}


@contextmanager
def drawing(height: float) -> Iterator[Figure]:
    """Give an empty figure; what is drawn within has the style."""
    with matplotlib.rc_context(STYLE):
        yield Figure(figsize=(WIDTH, height), layout="constrained")


def entitle(fig: Figure, *lines: str) -> None:
    """Write the title above a figure, in lines that fit the width."""
    text = "\n".join(fill(line, LETTERS) for line in lines)
    fig.suptitle(text, x=0.01, ha="left")


def render(fig: Figure) -> dict[str, bytes]:
    """The figure as PNG, sharp at twice its width, and as SVG; the same bytes each time."""
    out = {}
    with matplotlib.rc_context(STYLE):
        for suffix, metadata in (("png", {"Software": None}), ("svg", {"Date": None})):
            fig.savefig(buffer := io.BytesIO(), format=suffix, dpi=180, metadata=metadata)
            out[suffix] = buffer.getvalue()
    return out
