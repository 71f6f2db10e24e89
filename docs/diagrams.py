"""The diagrams of the derivations, drawn when the documentation is built."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import matplotlib
import numpy as np
import torch
from gradreg_torch import DoubleBack, JacReg, Penalty, SpectReg, frobreg, objective
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch.utils.flop_counter import FlopCounterMode

from gradreg_ref import moments
from gradreg_ref.losses import softmax, softmax_jacobian
from gradreg_ref.probes import draw

STYLE = {"font.size": 8, "axes.spines.top": False, "axes.spines.right": False}
SALT = {"svg.hashsalt": "gradreg-ref", "svg.fonttype": "path"}  # the same bytes every time
BLUE, ORANGE, GREEN, PINK = "#0072B2", "#D55E00", "#009E73", "#CC79A7"  # Okabe and Ito's

LOGITS, LABEL = np.array([[1.0, 0.0, -1.0, 0.5]]), 3
DRAWS, LOGIT_COUNT, INPUT_COUNT = 100_000, 10, 30


def matrices() -> Figure:
    """R of each penalty, for one example with four logits."""
    p, m = softmax(LOGITS)[0], LOGITS.shape[1]
    y = np.eye(m)[LABEL]
    r = draw("gaussian", np.random.default_rng(0), 1, m)[0]
    shown = {
        "FrobReg\nR = I": np.eye(m),
        "SpectReg\nR = r, random": r,
        "DoubleBack\nR = p − y": (p - y)[:, None],
        "JacReg\nR = diag p − ppᵀ": softmax_jacobian(LOGITS)[0],
        "Onehot\nR = e_y": y[:, None],
    }
    fig = Figure(figsize=(7, 1.9), layout="constrained")
    widths = [R.shape[1] for R in shown.values()]
    panels = fig.subplots(1, len(shown), width_ratios=[w + 1 for w in widths])
    for axes, (title, R) in zip(panels, shown.items(), strict=True):
        axes.imshow(R, cmap="RdBu", vmin=-1.5, vmax=1.5, aspect="equal")
        for (k, q), entry in np.ndenumerate(R):
            if entry:
                axes.text(q, k, f"{entry:.2g}", ha="center", va="center", fontsize=6.5)
        axes.set(xticks=[], yticks=[])
        axes.set_title(title, fontsize=8)
    panels[0].set_ylabel("logit k")
    return fig


def densities() -> Figure:
    """The estimate over its mean, for each law, on one random Jacobian."""
    rng = np.random.default_rng(0)
    J = rng.normal(size=(1, LOGIT_COUNT, INPUT_COUNT)) * np.linspace(0.3, 1.7, LOGIT_COUNT)[:, None]
    A = moments.gram(J)
    fig = Figure(figsize=(6, 2.8), layout="constrained")
    axes = fig.subplots()
    laws = {"gaussian": 1, "rademacher": 1, "sphere": 1, "orthogonal": 5}
    for (law, q), colour in zip(laws.items(), (ORANGE, GREEN, BLUE, PINK), strict=True):
        r = draw(law, rng, DRAWS, LOGIT_COUNT, q)
        estimates = np.einsum("nkq,kl,nlq->n", r, A[0], r) / q / np.trace(A[0])
        sd = np.sqrt(moments.variance(A, law, num_probes=q)[0]) / np.trace(A[0])
        label = f"{law}, {q} probe{'s' * (q > 1)}: sd {sd:.2f}"
        heights, edges = np.histogram(estimates, bins=np.linspace(0, 2.5, 126), density=True)
        axes.stairs(heights, edges, color=colour, label=label)
    axes.axvline(1, color="0.4", lw=0.8, ls=":")
    axes.set(xlabel="estimate / ‖J‖²", yticks=[], ylabel="density", xlim=(0, 2.5))
    axes.legend(frameon=False)
    return fig


def work() -> Figure:
    """Where a step spends its floating-point operations, counted, in plain steps."""
    plain = sum(counted(None))
    fig = Figure(figsize=(6, 2.2), layout="constrained")
    axes = fig.subplots()
    modes = {"no penalty": None, "reverse": "reverse", "forward": "forward"}
    modes |= {
        "one-sided difference": "one_sided_difference",
        "finite difference": "finite_difference",
    }
    for place, mode in enumerate(modes.values()):
        bars(axes, place, np.array(counted(mode)) / plain, named=not place)
    axes.set_yticks(range(len(modes)), list(modes))
    axes.invert_yaxis()
    axes.set(xlabel="floating-point operations of a step, in plain steps (an MLP of six layers)")
    fig.legend(loc="outside upper center", ncols=3, frameon=False)
    return fig


def bars(axes: Axes, place: int, parts: np.ndarray, named: bool) -> None:
    """The parts of a step, one after the other."""
    names = ("pass of the loss", "products of the penalty", "backward()")
    left = 0.0
    for part, name, colour in zip(parts, names, (GREEN, BLUE, ORANGE), strict=True):
        label = name if named else None
        axes.barh(place, part, left=left, color=colour, label=label, height=0.6)
        left += part
    axes.text(left + 0.03, place, f"{left:.2g}", va="center")


def counted(mode: str | None) -> tuple[int, int, int]:
    """Operations of the forward pass, of what the penalty adds to it, and of backward()."""
    widths = (100, *[200] * 5, 10)
    layers = list[torch.nn.Module]()
    for i, o in pairwise(widths):
        layers += [torch.nn.Linear(i, o), torch.nn.ReLU()]
    model = torch.nn.Sequential(*layers[:-1])
    x, y = torch.randn(50, widths[0]), torch.zeros(50, dtype=torch.long)
    with FlopCounterMode(display=False) as forward:
        loss = torch.nn.functional.cross_entropy(model(x), y)
    total = loss
    with FlopCounterMode(display=False) as both:
        if mode:
            penalty = SpectReg(mode=mode, generator=torch.Generator().manual_seed(0))
            got = objective(model, x, y, penalty)
            total = got.loss + got.penalty
    with FlopCounterMode(display=False) as backward:
        total.backward(inputs=list(model.parameters()))
    first = forward.get_total_flops()
    added = both.get_total_flops() - first if mode else 0
    return first, added, backward.get_total_flops()


def effects() -> Figure:
    """Class probability and Jacobian norm of one network, trained with each penalty."""
    rng = np.random.default_rng(3)
    label = np.arange(40) % 2
    points = rng.normal(size=(40, 2)) * 0.8 + np.where(label[:, None], [1.0, 0.0], [-1.0, 0.0])
    trained = {
        "no penalty": (None, 0.0),
        "SpectReg": (SpectReg, 0.03),
        "DoubleBack": (DoubleBack, 1.0),
        "JacReg": (JacReg, 1.0),
    }
    ticks = np.linspace(-3, 3, 61)
    grid = torch.from_numpy(np.stack(np.meshgrid(ticks, ticks), axis=-1).reshape(-1, 2))
    fig = Figure(figsize=(7, 3.7), layout="constrained")
    panels = fig.subplots(2, len(trained), sharex=True, sharey=True)
    for column, (name, (kind, lam)) in zip(panels.T, trained.items(), strict=True):
        model = classifier(torch.from_numpy(points), torch.from_numpy(label), kind, lam)
        with torch.no_grad():
            p = model(grid).softmax(1)[:, 1].reshape(61, 61)
        norm = frobreg(model, grid, reduction="none").detach().sqrt().reshape(61, 61)
        drawn = {"extent": (-3, 3, -3, 3), "origin": "lower", "interpolation": "bilinear"}
        column[0].imshow(p, cmap="PuOr", vmin=0, vmax=1, **drawn)
        shown = column[1].imshow(norm, vmin=0, vmax=24, **drawn)
        for axes in column:
            axes.scatter(*points.T, c=label, cmap="PuOr", edgecolors="black", lw=0.5, s=9)
            axes.set(xticks=[], yticks=[], xlim=(-3, 3), ylim=(-3, 3))
        column[0].set_title(name, fontsize=8)
    panels[0, 0].set_ylabel("probability")
    panels[1, 0].set_ylabel("‖J‖")
    fig.colorbar(shown, ax=panels[1], shrink=0.8, extend="max")
    return fig


def classifier(
    x: torch.Tensor, y: torch.Tensor, kind: type[Penalty] | None, lam: float
) -> torch.nn.Module:
    """Train a small network of two inputs and two classes, from one initialisation."""
    torch.manual_seed(0)
    layers = torch.nn.Linear(2, 64), torch.nn.Tanh(), torch.nn.Linear(64, 64), torch.nn.Tanh()
    model = torch.nn.Sequential(*layers, torch.nn.Linear(64, 2)).double()
    optimiser = torch.optim.Adam(model.parameters(), lr=0.01)
    options = {"generator": torch.Generator().manual_seed(1)} if kind is SpectReg else {}
    penalty = kind(**options) if kind else None
    for _ in range(400):
        if penalty is None:
            loss = torch.nn.functional.cross_entropy(model(x), y)
        else:
            got = objective(model, x, y, penalty)
            loss = got.loss + lam * got.penalty
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return model


DIAGRAMS: dict[str, Callable[[], Figure]] = {
    "matrices": matrices,
    "densities": densities,
    "work": work,
    "effects": effects,
}


def write(folder: Path) -> None:
    """All of them, as SVG."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, draw_it in DIAGRAMS.items():
        with matplotlib.rc_context(STYLE | SALT):
            draw_it().savefig(folder / f"{name}.svg", metadata={"Date": None})


if __name__ == "__main__":
    write(Path(__file__).parent / "images" / "made")
