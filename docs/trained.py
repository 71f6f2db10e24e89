"""Two diagrams of the derivations: one small network, trained with each penalty."""

from collections.abc import Callable

import numpy as np
import torch
from gradreg_torch import (
    DoubleBack,
    JacReg,
    Onehot,
    Penalty,
    SpectReg,
    confidence_penalty,
    frobreg,
    objective,
    weight_decay,
)
from matplotlib.figure import Figure

Kind = type[Penalty] | Callable[..., torch.Tensor]


def effects() -> Figure:
    """Draw a network trained with each of the paper's gradient penalties."""
    return trained_with(
        {
            "no penalty": (None, 0.0),
            "SpectReg": (SpectReg, 0.03),
            "DoubleBack": (DoubleBack, 1.0),
            "JacReg": (JacReg, 1.0),
        }
    )


def baselines() -> Figure:
    """Draw a network trained with Onehot, and with the penalties without an input gradient."""
    return trained_with(
        {
            "no penalty": (None, 0.0),
            "Onehot": (Onehot, 0.3),
            "confidence penalty": (confidence_penalty, 0.3),
            "weight decay": (weight_decay, 0.002),
        }
    )


def trained_with(trained: dict[str, tuple[Kind | None, float]]) -> Figure:
    """Draw class probability and Jacobian norm of one network, trained with each penalty."""
    rng = np.random.default_rng(3)
    label = np.arange(40) % 2
    points = rng.normal(size=(40, 2)) * 0.8 + np.where(label[:, None], [1.0, 0.0], [-1.0, 0.0])
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


def classifier(x: torch.Tensor, y: torch.Tensor, kind: Kind | None, lam: float) -> torch.nn.Module:
    """Train a small network of two inputs and two classes, from one initialisation."""
    torch.manual_seed(0)
    layers = torch.nn.Linear(2, 64), torch.nn.Tanh(), torch.nn.Linear(64, 64), torch.nn.Tanh()
    model = torch.nn.Sequential(*layers, torch.nn.Linear(64, 2)).double()
    optimiser = torch.optim.Adam(model.parameters(), lr=0.01)
    options = {"generator": torch.Generator().manual_seed(1)} if kind is SpectReg else {}
    penalty = kind(**options) if isinstance(kind, type) else None
    for _ in range(400):
        if penalty is None:
            z = model(x)
            loss = torch.nn.functional.cross_entropy(z, y)
            if kind is confidence_penalty:
                loss = loss + lam * confidence_penalty(z)
            if kind is weight_decay:
                loss = loss + lam * weight_decay(model)
        else:
            got = objective(model, x, y, penalty)
            loss = got.loss + lam * got.penalty
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return model
