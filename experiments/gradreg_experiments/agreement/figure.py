"""Differences of the parameters against the step, on a log axis, below what rounding can do."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gradreg_experiments.agreement.bound import Comparison
from gradreg_experiments.result import BEST, DOUBLEBACK, FAINT, PLAIN, TOO_LARGE, drawing, entitle

_FLOOR = 2.0**-56  # below half a rounding of a number of size one: drawn as that
_COLOURS = {
    ("jax", "sgd"): BEST,
    ("jax", "adam"): PLAIN,
    ("numpy", "sgd"): TOO_LARGE,
    ("numpy", "adam"): DOUBLEBACK,
}


def figure(found: Sequence[Comparison]) -> Figure:
    """A panel for each network; a line for each penalty, optimiser and backend beside torch."""
    networks = list(dict.fromkeys(one.network for one in found))
    with drawing(2.6 * len(networks)) as fig:
        panels = fig.subplots(len(networks), 1, squeeze=False)[:, 0]
        for axes, network in zip(panels, networks, strict=True):
            _panel(axes, network, [one for one in found if one.network == network])
        most = max(one.share for one in found)
        entitle(fig, f"Backends come apart by at most {most:.0%} of what rounding allows")
    return fig


def _panel(axes: Axes, network: str, found: Sequence[Comparison]) -> None:
    """All courses of one network, and the loosest bound."""
    steps = np.arange(1, 1 + len(found[0].apart.theta))
    said = set()
    for one in found:
        key = one.other, one.optimiser
        label = None if key in said else f"torch and {key[0]}, {key[1]}"
        said.add(key)
        seen = np.maximum(one.apart.theta, _FLOOR)
        axes.plot(steps, seen, color=_COLOURS[key], lw=0.7, alpha=0.7, label=label)
    bounds = np.array([one.bound.theta for one in found])
    axes.fill_between(steps, bounds.min(axis=0), bounds.max(axis=0), color=FAINT, alpha=0.3, lw=0)
    axes.plot([], [], color=FAINT, lw=5, alpha=0.3, label="bounds")
    axes.set(yscale="log", xlabel="step", title=f"{network} network: largest difference of θ")
    axes.set_ylim(_FLOOR, 30 * bounds.max())  # room for the legend
    axes.legend(loc="upper left", ncols=2, fontsize=7.5)
