"""The training step: loss and penalty from one pass, for one run or for many stacked."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from typing import Any, cast

import torch
from gradreg_torch import confidence_penalty, objective
from torch import Tensor, nn
from torch.nn import functional as F

from gradreg_experiments.common import learning_rate
from gradreg_experiments.data import Split
from gradreg_experiments.networks import build
from gradreg_experiments.runs import parallel
from gradreg_experiments.runs.description import PENALTIES, Run
from gradreg_experiments.runs.draws import Draws, generator, number
from gradreg_experiments.stack import Stack

_MOMENTUM = 0.9
_STATE = ("model", "optimiser", "scaler")  # what a step changes


class Trainer:
    """R runs that differ in nothing but their seeds, as one model.

    Parameters
    ----------
    runs : sequence of Run
        R of them.
    parts : sequence of Split
        The images of the runs.
    """

    def __init__(self, runs: Sequence[Run], parts: Sequence[Split]) -> None:
        _require_together(runs)
        self.runs, self.run = runs, runs[0]
        run = self.run
        self.device = parallel.device_of(run.device)
        self.draws = Draws(runs, parts, self.device)
        networks = [
            build(run, parts[0], self.draws.rows, generator(seed, "initialisation"))
            for seed in self.draws.seeds
        ]
        self.model: nn.Module = networks[0] if len(networks) == 1 else Stack(networks)
        self.model.to(self.device)
        self.parameters = list(self.model.parameters())
        self.optimiser = _optimiser(self.model, run)
        self.scaler = torch.amp.GradScaler(self.device, enabled=run.amp == "float16")
        self.penalty = self.make_penalty()
        self.total: Any = torch.compile(self.objective) if run.compile else self.objective

    @property
    def masks(self) -> list[Tensor]:
        """The masks of dropout: (rows, width), stacked (R, rows, width)."""
        model = self.model
        state = model.state() if isinstance(model, Stack) else dict(model.named_buffers())
        return [buffer for name, buffer in state.items() if name.endswith("mask")]

    def make_penalty(self) -> Any:
        """The penalty of the run, or None. Stacked runs need the penalty example by example."""
        run = self.run
        if run.penalty == "none":
            return None
        # Shared probes are repeated for every row: the rows may belong to several runs.
        options = {name: v for name, v in run.options.items() if name != "shared_probe"}
        if run.penalty == "doubleback":
            options["loss"] = "cross_entropy"
        if options.get("fraction", 1) != 1:
            options["generator"] = torch.Generator()  # on the CPU, as every draw
        reduction = "mean" if len(self.runs) == 1 else "none"
        return PENALTIES[run.penalty](reduction=reduction, check_values=False, **options)

    def step(self, t: int) -> Tensor:
        """Step t, from 0; the sum over runs of what is minimised."""
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(self.run.learning_rate, t, self.run.iterations)
        x, y = self.draws.batch(t)
        for mask in self.masks:
            mask.copy_(self.draws.mask(t, mask.shape[-1]).reshape(mask.shape))
        if self.penalty is not None:
            self.penalty.step = t  # which steps have a penalty, by `every`
            if self.penalty.generator is not None:
                self.penalty.generator.manual_seed(number(self.run.seed, "fraction", t))
        self.optimiser.zero_grad()
        total = self.total(x, y, self.draws.probes(t))
        # The gradient of the parameters alone. The gradient in x, which the penalty's leaf would
        # get, is not used, and takes a fifth of the step of a LeNet on a CPU.
        self.scaler.scale(total).backward(inputs=self.parameters)
        parallel.average(self.model)
        self.scaler.step(self.optimiser)
        self.scaler.update()
        return cast(Tensor, total.detach())

    def objective(self, x: Tensor, y: Tensor, probes: Tensor | None) -> Tensor:
        """Σ over runs of L̄ + λ · penalty + β · Σ p log p. Weight decay is the optimiser's."""
        R, run = len(self.runs), self.run

        def labelled(a: Tensor) -> Tensor:
            return a.reshape(R, self.draws.rows, -1)[:, : self.draws.labelled].flatten(0, 1)

        def loss(z: Tensor, y: Tensor) -> Tensor:
            return R * F.cross_entropy(labelled(z), y.flatten())

        kind, amp = torch.device(self.device).type, run.amp
        with torch.autocast(kind, getattr(torch, amp or "bfloat16"), enabled=bool(amp)):
            if self.penalty is None:
                z = self.model(x)
                total = loss(z, y)
            else:
                got = objective(
                    self.model,
                    x,
                    y.flatten(),  # with unlabelled images the penalty is one without labels
                    self.penalty,
                    loss=loss,
                    probes=probes,
                    check_values=False,
                )
                z, penalty = got.logits, got.penalty.reshape(R, -1).mean(dim=1).sum()
                total = got.loss + run.lam * penalty
        if run.confidence:
            # Logits that are not finite are recorded later, not refused here.
            entropy = confidence_penalty(labelled(z), check_values=False)
            total = total + run.confidence * R * entropy
        return total

    def lost(self) -> list[int]:
        """Return the runs whose weights are not finite, or all, if the total is not finite."""
        finite = torch.ones(len(self.runs), dtype=torch.bool, device=self.device)
        for p in self.parameters:
            finite &= p.detach().isfinite().reshape(len(self.runs), -1).all(1)
        return (~finite).nonzero().flatten().tolist() or list(range(len(self.runs)))

    def state(self) -> dict[str, Any]:
        """Return all state that a step changes."""
        return {name: getattr(self, name).state_dict() for name in _STATE}

    def form(self) -> dict[str, Any]:
        """A state of the form of `state` after a step: an optimiser has nothing to keep before."""
        model = deepcopy(self.model)
        for p in model.parameters():
            p.grad = torch.zeros_like(p)
        (optimiser := _optimiser(model, self.run)).step()
        return self.state() | {"optimiser": optimiser.state_dict()}

    def restore(self, state: dict[str, Any]) -> None:
        """Take up what `state` gave."""
        for name in _STATE:
            getattr(self, name).load_state_dict(state[name])

    def network(self, r: int) -> nn.Module:
        """The network of run r."""
        return self.model.network(r) if isinstance(self.model, Stack) else self.model


def _require_together(runs: Sequence[Run]) -> None:
    """Refuse what stacked seeds, or the processes of torchrun, cannot be trained with."""
    run, size = runs[0], parallel.size()
    alike = {replace(run, seed=0).id for run in runs}
    if len(alike) != 1 or len({run.seed for run in runs}) != len(runs):
        raise ValueError(
            "expected runs that differ in their seeds and in nothing else, got "
            f"{len(runs)} runs of {len(alike)} settings with seeds {[run.seed for run in runs]}"
        )
    if len(runs) > 1 and size > 1:
        raise ValueError("expected one run under torchrun, got stacked seeds")
    if run.batch % size:
        raise ValueError(f"expected a batch of a multiple of {size} processes, got {run.batch}")
    fraction, mode = run.options.get("fraction", 1), run.options.get("mode", "auto")
    if size > 1 and fraction != 1:
        raise ValueError(
            "expected fraction = 1 under torchrun, as a fraction is drawn from a whole batch, got "
            f"{fraction}: train in one process"
        )
    for name, given, why in (
        ("fraction", fraction != 1, "it is drawn from a whole batch"),
        (f"mode = {mode!r}", "difference" in mode, "vmap cannot run it"),
        (f"amp = {run.amp!r}", bool(run.amp), "autocast does not reach into vmap"),
    ):
        if given and len(runs) > 1:
            raise ValueError(
                f"expected no {name} for stacked seeds, as {why}: leave --stack-seeds out"
            )


def _optimiser(model: nn.Module, run: Run) -> torch.optim.Optimizer:
    """½ · weight_decay · ‖W‖² of every matrix and filter, through its gradient weight_decay · W."""
    stacked = isinstance(model, Stack)
    groups: dict[bool, list[Tensor]] = {True: [], False: []}
    for p in model.parameters():
        groups[p.ndim - stacked > 1].append(p)
    settings = [
        {"params": group, "weight_decay": run.weight_decay if decays else 0.0}
        for decays, group in groups.items()
    ]
    if run.optimiser == "adam":
        return torch.optim.Adam(settings, lr=run.learning_rate, fused=True)
    return torch.optim.SGD(
        settings, lr=run.learning_rate, momentum=_MOMENTUM, nesterov=True, fused=True
    )
