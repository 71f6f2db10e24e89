"""The diagrams of the derivations, drawn when the documentation is built."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import matplotlib
import numpy as np
import torch
from gradreg_torch import SpectReg, objective
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from torch.utils.flop_counter import FlopCounterMode
from trained import baselines, effects

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
    """Draw where a step spends its floating-point operations, in plain steps."""
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


def directions() -> Figure:
    """Draw the probes of six examples with two logits: independent, and frames."""
    fig = Figure(figsize=(5, 2.4), layout="constrained")
    titles = {"sphere": "independent probes", "frames": "frames: orthogonal in pairs"}
    for axes, (law, title) in zip(fig.subplots(1, 2), titles.items(), strict=True):
        r = draw(law, np.random.default_rng(5), 6, 2)[:, :, 0] / np.sqrt(2)
        for k, (a, b) in enumerate(r):
            colour = (BLUE, ORANGE, GREEN)[k // 2]
            axes.plot([-a, a], [-b, b], color=colour, lw=2)
        axes.add_patch(Circle((0, 0), 1, fill=False, ec="0.7", lw=0.8))
        axes.set(aspect="equal", xlim=(-1.1, 1.1), ylim=(-1.1, 1.1), xticks=[], yticks=[])
        axes.set(xlabel="logit 1", ylabel="logit 2")
        axes.set_title(title, fontsize=8)
    return fig


DIAGRAMS: dict[str, Callable[[], Figure]] = {
    "matrices": matrices,
    "densities": densities,
    "work": work,
    "effects": effects,
    "baselines": baselines,
    "directions": directions,
}


def write(folder: Path) -> None:
    """Write all diagrams as SVG."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, draw_it in DIAGRAMS.items():
        with matplotlib.rc_context(STYLE | SALT):
            draw_it().savefig(folder / f"{name}.svg", metadata={"Date": None})


if __name__ == "__main__":
    write(Path(__file__).parent / "images" / "made")
