"""``gradreg agree``: train every course with every backend, and compare the runs."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.box import SIMPLE_HEAD
from rich.table import Table

from gradreg_experiments import result
from gradreg_experiments.agreement import by_jax, by_numpy, by_torch
from gradreg_experiments.agreement.bound import Comparison, differences, rounding_bound
from gradreg_experiments.agreement.course import OPTIMISERS, PENALTIES, Train, course
from gradreg_experiments.files import made_here, require_writable
from gradreg_experiments.terminal import Plain
from gradreg_ref import checks

# Complex steps for every parameter: on the small network only.
_OTHERS: dict[str, dict[str, Train]] = {
    "small": {"jax": by_jax.train, "numpy": by_numpy.train},
    "paper": {"jax": by_jax.train},
}
_FLOOR = 2.0**-56  # smaller differences are drawn at this value, below half a rounding of 1
_COLOURS = {
    ("jax", "sgd"): result.BEST,
    ("jax", "adam"): result.PLAIN,
    ("numpy", "sgd"): result.TOO_LARGE,
    ("numpy", "adam"): result.DOUBLEBACK,
}


def compare(size: str, penalty: str, optimiser: Any, steps: int) -> Iterator[Comparison]:
    """Compare torch with every other backend."""
    one = course(penalty, optimiser, size, steps)
    run = by_torch.train(one)
    bound = rounding_bound(one, run)
    for name, train in _OTHERS[size].items():
        apart = differences(run, train(one))
        yield Comparison(size, penalty, optimiser, name, apart, bound)


def run(out: Path, steps: int) -> int:
    """Run every course. The status is 0 if all stay within rounding, and 1 if one does not."""
    console = Plain()
    checks.count("--steps", steps)
    require_writable(out, "agree")
    found: list[Comparison] = []
    for size in _OTHERS:
        for penalty in PENALTIES:
            for optimiser in OPTIMISERS:
                found += compare(size, penalty, optimiser, steps)
            console.print(f"{size} network, {penalty}: {_worst(found):.1%} of the bound so far")
    console.print(_table(found))
    for path in _write(out, found, steps):
        console.print(f"written: {path}", soft_wrap=True)
    return 0 if _worst(found) <= 1 else 1


def _worst(found: Sequence[Comparison]) -> float:
    """The largest share of a bound."""
    return max(one.share for one in found)


def _table(found: Sequence[Comparison]) -> Table:
    """A line for each course: the largest difference of a parameter to torch's."""
    others = list(dict.fromkeys(one.other for one in found))
    columns = Table("network", "penalty", "optimiser", box=SIMPLE_HEAD)
    for name in (*others, "of the bound"):
        columns.add_column(name, justify="right", no_wrap=True)
    courses = dict.fromkeys((one.network, one.penalty, one.optimiser) for one in found)
    for names in courses:
        here = {c.other: c for c in found if (c.network, c.penalty, c.optimiser) == names}
        apart = [f"{here[o].apart.theta.max():.1e}" if o in here else "" for o in others]
        columns.add_row(*names, *apart, f"{_worst(list(here.values())):.1%}")
    return columns


def _write(out: Path, found: Sequence[Comparison], steps: int) -> list[Path]:
    """Write agree.json, agree.csv, agree.png and agree.svg."""
    rows = [one.row for one in found]
    record = {
        "command": f"gradreg agree --steps {steps}",
        **made_here("jax", "optax"),
        "penalties": {name: p._asdict() for name, p in PENALTIES.items()},
        "learning_rates": OPTIMISERS,
        "largest_share_of_bound": _worst(found),
    }
    table = [[*rows[0]], *([*row.values()] for row in rows)]
    return result.write_result(out, "agree", table, record, _figure(found))


def _figure(found: Sequence[Comparison]) -> Figure:
    """A panel for each network; a line for each penalty, optimiser and backend beside torch."""
    networks = list(dict.fromkeys(one.network for one in found))
    with result.drawing(2.6 * len(networks)) as fig:
        panels = fig.subplots(len(networks), 1, squeeze=False)[:, 0]
        for axes, network in zip(panels, networks, strict=True):
            _panel(axes, network, [one for one in found if one.network == network])
        most = f"{_worst(found):.0%} of what rounding allows"
        result.entitle(fig, f"Backends come apart by at most {most}")
    return fig


def _panel(axes: Axes, network: str, found: Sequence[Comparison]) -> None:
    """Draw all courses of one network, and the loosest bound."""
    steps = np.arange(1, 1 + len(found[0].apart.theta))
    said = set()
    for one in found:
        key = one.other, one.optimiser
        label = None if key in said else f"torch and {key[0]}, {key[1]}"
        said.add(key)
        seen = np.maximum(one.apart.theta, _FLOOR)
        axes.plot(steps, seen, color=_COLOURS[key], lw=0.7, alpha=0.7, label=label)
    bounds = np.array([one.bound.theta for one in found])
    low, high = bounds.min(axis=0), bounds.max(axis=0)
    axes.fill_between(steps, low, high, color=result.FAINT, alpha=0.3, lw=0)
    axes.plot([], [], color=result.FAINT, lw=5, alpha=0.3, label="bounds")
    axes.set(yscale="log", xlabel="step", title=f"{network} network: largest difference of θ")
    axes.set_ylim(_FLOOR, 30 * high.max())  # room for the legend
    axes.legend(loc="upper left", ncols=2, fontsize=7.5)
