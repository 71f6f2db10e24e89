"""``gradreg tune``: λ or β on a logarithmic grid, chosen by images outside the training set."""

from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from rich.bar import Bar
from rich.box import SIMPLE_HEAD
from rich.table import Table

from gradreg_experiments.common import few
from gradreg_experiments.files import made_here, require_writable
from gradreg_experiments.result import BEST, FAINT, PLAIN, drawing, entitle, write_result
from gradreg_experiments.runs.description import Run
from gradreg_experiments.runs.store import Store
from gradreg_experiments.runs.sweep import in_groups, train_missing, wrong
from gradreg_experiments.runs.training import Outcome
from gradreg_experiments.terminal import Plain, ended
from gradreg_experiments.verification import verified_before
from gradreg_ref import checks

_LARGEST, _MOST = 1e30, 1000  # λ, points
_BAR, _CHOSEN = 30, "chosen"  # characters, a word
_LEAST = 50  # characters that the columns before the bar take


@dataclass(frozen=True)
class Point:
    """The results of one λ over seeds, in per cent."""

    lam: float
    outcomes: tuple[Outcome, ...]

    def values(self, part: str) -> NDArray[np.float64]:
        """Accuracy on that part, seed by seed."""
        return np.array([100 * getattr(o, part) for o in self.outcomes])

    def mean(self, part: str) -> float:
        """Return the mean over seeds."""
        return float(self.values(part).mean())


def grid(low: float, high: float, points: int) -> tuple[float, ...]:
    """0, and λ from low to high in equal ratios, to two digits, none twice."""
    if not 0 < low < high < _LARGEST:
        raise ValueError(f"expected 0 < --from < --to < {_LARGEST:g}, got {low} and {high}")
    if not 2 <= checks.count("points", points) <= _MOST:
        raise ValueError(f"expected 2 to {_MOST} points, got {points}")
    lams = (float(f"{lam:.2g}") for lam in np.geomspace(low, high, points))
    return tuple(dict.fromkeys((0.0, *lams)))


def tune(run: Run, lams: Sequence[float], request: Namespace) -> int:
    """Train, print the curve, write tune.json, .csv, .png and .svg.

    The request has seeds, out, data and jobs, and the command that is recorded. The status is 1 if
    a claim fails, and nothing is trained; 2 if a run could not be made.
    """
    console = Plain()
    if not run.validation:
        raise ValueError(
            "expected validation > 0 in the run, as λ is chosen on these images; got 0"
        )
    if run.penalty == "none" and not run.confidence:
        raise ValueError(
            "expected a penalty or confidence in the run, whose weight tune can choose; got neither"
        )
    jobs, seeds = few("--jobs", request.jobs), few("--seeds", request.seeds)
    require_writable(request.out, "tune")
    require_writable(request.out / "runs")
    if not verified_before(run.device, console):
        return 1
    store = Store(request.out / "runs", request.data)
    runs = {lam: [_weighted(run, lam, run.seed + s) for s in range(seeds)] for lam in lams}
    groups = in_groups([*runs.values()], stack=False)
    failures = [f"Not run: {said}" for said in train_missing(groups, store, jobs, console)]
    failures += wrong([run for (run,) in groups], store)
    found = {lam: tuple(filter(None, map(store.find, own))) for lam, own in runs.items()}
    points = _compared([Point(lam, outcomes) for lam, outcomes in found.items()])
    if any(len(point.outcomes) < len(found[point.lam]) for point in points):
        shown = ", ".join(str(o.run.seed) for o in points[0].outcomes) or "none"
        console.print(f"Compared by the seeds that every λ has: {shown}.")
    if points and points[0].outcomes:
        console.print(table(run, points, console.width))
        if said := at_an_end(points):
            console.print(said)
        _write(request.out, run, points, request.recorded)
        console.print(f"Written: {request.out / 'tune'}.json, .csv, .png, .svg.", soft_wrap=True)
    return ended(console, failures)


def _weighted(run: Run, lam: float, seed: int) -> Run:
    """The run with this λ and seed, or with this β if it has the confidence penalty alone."""
    if run.penalty == "none":
        return replace(run, seed=seed, confidence=lam)
    # With λ = 0 the penalty need not be computed.
    bare: dict[str, Any] = {} if lam else {"penalty": "none", "options": {}, "unlabelled": 0}
    return replace(run, seed=seed, lam=lam, **bare)


def _title(run: Run) -> str:
    """The penalty and the images."""
    penalty = "confidence penalty" if run.penalty == "none" else run.penalty
    return f"{penalty}, {run.data}, {run.train} images"


def _compared(points: Sequence[Point]) -> list[Point]:
    """The λ that were run, by the seeds that all of them have: others would be other images."""
    run = [point for point in points if point.outcomes]
    seeds = [{o.run.seed for o in point.outcomes} for point in run]
    both = set.intersection(*seeds) if seeds else set[int]()
    return [Point(p.lam, tuple(o for o in p.outcomes if o.run.seed in both)) for p in run]


def best(points: Sequence[Point]) -> Point:
    """The point with the highest accuracy on validation images; among equals the smallest λ."""
    return max(points, key=lambda p: (p.mean("validation"), -p.lam))


def at_an_end(points: Sequence[Point]) -> str:
    """A sentence on a choice at an end of the grid."""
    chosen, grid = best(points).lam, [p.lam for p in points if p.lam]
    if not chosen:
        return "No λ of the grid does better than none on the validation images."
    ends = {min(grid): "--from", max(grid): "--to"}
    return f"λ is at the end of the grid: {ends[chosen]} extends it." if chosen in ends else ""


def table(run: Run, points: Sequence[Point], width: int) -> Table:
    """The curve, a line for each λ; without bars on a terminal that has no room for them."""
    bars = width >= _LEAST + _BAR // 3
    between = (0, 1 if width >= _LEAST else 0)
    out = Table(title=_title(run), box=SIMPLE_HEAD, padding=between)
    for name in ("λ", "validation (sd)", "test"):
        out.add_column(name, justify="right", no_wrap=True)
    out.add_column("", no_wrap=True, min_width=len(_CHOSEN))
    if bars:
        out.add_column("", max_width=_BAR)  # what gives way on a narrow terminal
    values = [p.mean("validation") for p in points]
    low, high = min(values), max(values)
    for p, value in zip(points, values, strict=True):
        bar = Bar(_BAR, 0, 1 + (_BAR - 1) * (value - low) / ((high - low) or 1))
        seeds = p.values("validation")
        shown = f"{value:.2f}" + (f" ({seeds.std(ddof=1):.2f})" if len(seeds) > 1 else "")
        chosen = _CHOSEN if p is best(points) else ""
        cells = f"{p.lam:g}", shown, f"{p.mean('test'):.2f}", chosen
        out.add_row(*cells, *([bar] if bars else []))
    out.caption = (
        "Accuracy in per cent, mean over seeds. λ is chosen by the validation images; the test "
        "images have no say in it."
    )
    out.caption_justify, out.caption_style = "left", ""
    return out


def _write(out: Path, run: Run, points: Sequence[Point], command: str) -> None:
    """Write every run, the choice, and the curve."""
    runs = [["lambda", "seed", "validation", "test", "train", "seconds"]]
    for p in points:
        for o in p.outcomes:
            figures = [f"{value:.6g}" for value in (o.validation, o.test, o.train, o.seconds)]
            runs.append([str(p.lam), str(o.run.seed), *figures])
    tuned = "confidence" if run.penalty == "none" else "lam"
    record: dict[str, Any] = {
        "command": command,
        "versions": made_here()["versions"],
        "run": {k: v for k, v in run.chosen.items() if k not in (tuned, "seed")},
        "seeds": [o.run.seed for o in points[0].outcomes],
        "chosen": best(points).lam,
        "validation": {f"{p.lam:g}": round(p.mean("validation"), 4) for p in points},
    }
    write_result(out, "tune", runs, record, _figure(run, points))


def _figure(run: Run, points: Sequence[Point]) -> Figure:
    """Validation accuracy against λ: dots for seeds, a band for the deviation, the test faint."""
    chosen, seeds = best(points), len(points[0].outcomes)
    zero = min(p.lam for p in points if p.lam) / 4  # where 0 stands on a logarithmic axis
    place = {p.lam: p.lam or zero for p in points}
    lams = list(place.values())
    with drawing(3.2) as fig:
        axes = fig.subplots()
        axes.plot(lams, [p.mean("test") for p in points], "--", color=FAINT, lw=0.9, label="test")
        mean = np.array([p.mean("validation") for p in points])
        if seeds > 1:
            sd = np.array([p.values("validation").std(ddof=1) for p in points])
            axes.fill_between(lams, mean - sd, mean + sd, color=BEST, alpha=0.12, lw=0)
        axes.plot(lams, mean, color=BEST, label="validation")
        for p in points:
            at_lam = [place[p.lam]] * seeds
            axes.plot(at_lam, p.values("validation"), "o", ms=3.5, mew=0, color=BEST, alpha=0.5)
        at = place[chosen.lam], chosen.mean("validation")
        axes.axvline(at[0], ls=":", lw=0.9, color=PLAIN)
        axes.plot(*at, "o", ms=9, mfc="none", mew=1.8, color=PLAIN, label="chosen")
        axes.set(xscale="log", xlabel="λ", ylabel="accuracy, %")
        axes.set_xticks(lams, [f"{p.lam:g}" for p in points])
        axes.minorticks_off()
        axes.legend()
        gain = chosen.mean("validation") - points[0].mean("validation")
        said = f"λ = {chosen.lam:g} is best on validation images"
        said += f", {gain:.2f} points above λ = 0" if chosen.lam and not points[0].lam else ""
        number = f"{seeds} seed{'s' * (seeds > 1)}"
        entitle(fig, said, f"{_title(run)}, {number}")
    return fig
