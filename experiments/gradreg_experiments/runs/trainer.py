"""The training step: loss and penalty from one pass, for one run or for many stacked."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, cast

import torch
from gradreg_torch import confidence_penalty, draw_probes, objective
from torch import Tensor, nn
from torch.nn import functional as F

from gradreg_experiments.data import Split
from gradreg_experiments.networks import Architecture, build
from gradreg_experiments.networks.layers import KEEP
from gradreg_experiments.runs import parallel, randomness
from gradreg_experiments.runs.description import PENALTIES, Run
from gradreg_experiments.stack import Stack

MOMENTUM = 0.9


class Trainer:
    """R runs that differ in nothing but their seeds, as one model.

    Parameters
    ----------
    runs : sequence of Run
        R of them.
    parts : sequence of Split
        Their images.
    """

    def __init__(self, runs: Sequence[Run], parts: Sequence[Split]) -> None:
        self.runs, self.run = runs, runs[0]
        self.seeds = [run.seed for run in runs]
        run, first = self.run, parts[0]
        if len(runs) > 1 and parallel.size() > 1:
            raise ValueError("expected one run under torchrun, got stacked seeds")
        if len(runs) > 1 and run.amp:
            raise ValueError(
                f"expected amp = '' for stacked seeds, as autocast does not reach into vmap, got "
                f"{run.amp!r}: leave --stack-seeds out"
            )
        if run.batch % parallel.size():
            raise ValueError(
                f"expected a batch of a multiple of {parallel.size()} processes, got {run.batch}"
            )
        self.device = parallel.device_of(run.device)
        self.labelled = run.batch // parallel.size()
        self.rows = self.labelled * (2 if run.unlabelled else 1)
        self.classes = len(first.classes)
        architecture = architecture_of(run, first, self.rows)
        networks = [
            build(run.network, architecture, randomness.generator(seed, "initialisation"))
            for seed in self.seeds
        ]
        self.model: nn.Module = networks[0] if len(networks) == 1 else Stack(networks)
        self.model.to(self.device)
        self.parameters = list(self.model.parameters())
        self.x = [self.on_device(p.train_images) for p in parts]
        self.y = [self.on_device(p.train_labels) for p in parts]
        self.u = [self.on_device(p.unlabelled_images) for p in parts]
        self.batches = [
            randomness.Batches(seed, "batches", run.train, run.batch) for seed in self.seeds
        ]
        if run.unlabelled:
            self.unlabelled = [
                randomness.Batches(seed, "unlabelled", run.unlabelled, run.batch)
                for seed in self.seeds
            ]
        self.optimiser = optimiser(self.model, run)
        self.scaler = torch.amp.GradScaler(self.device, enabled=run.amp == "float16")
        self.penalty = self.make_penalty()
        self.total: Any = torch.compile(self.objective) if run.compile else self.objective

    def on_device(self, array: Any) -> Tensor:
        """Images with channels last, or labels."""
        a = torch.from_numpy(array).to(self.device)
        return a.contiguous(memory_format=torch.channels_last) if a.ndim == 4 else a

    @property
    def masks(self) -> list[Tensor]:
        """Of dropout: (rows, width), stacked (R, rows, width)."""
        if isinstance(self.model, Stack):
            return [b for name, b in self.model.state().items() if name.endswith("mask")]
        return [b for name, b in self.model.named_buffers() if name.endswith("mask")]

    def make_penalty(self) -> Any:
        """That of the run, or None. Stacked, it is needed example by example."""
        run = self.run
        if run.penalty == "none":
            return None
        # Shared probes are repeated for every row: there may be more than one run's.
        options = {name: v for name, v in run.options.items() if name != "shared_probe"}
        if run.penalty == "doubleback":
            options["loss"] = "cross_entropy"
        if len(self.runs) > 1 and "difference" in options.get("mode", ""):
            raise ValueError(
                f"expected mode = 'auto', 'reverse' or 'forward' for stacked seeds, got "
                f"{options['mode']!r}: leave --stack-seeds out"
            )
        if options.get("fraction", 1) != 1:
            for several, where, hint in (
                (len(self.runs), "for stacked seeds", "leave --stack-seeds out"),
                (parallel.size(), "under torchrun", "train in one process"),
            ):
                if several > 1:
                    raise ValueError(
                        f"expected fraction = 1 {where}, as a fraction is drawn from a whole "
                        f"batch; got {options['fraction']}: {hint}"
                    )
            options["generator"] = torch.Generator()  # on the CPU, as every draw
        reduction = "mean" if len(self.runs) == 1 else "none"
        return PENALTIES[run.penalty](reduction=reduction, check_values=False, **options)

    def step(self, t: int) -> Tensor:
        """Step t, from 0; the sum over runs of what is minimised."""
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(self.run, t)
        x, y = self.batch(t)
        for mask in self.masks:
            drawn = [self.mask(seed, t, mask.shape[-1]) for seed in self.seeds]
            mask.copy_(torch.stack(drawn).reshape(mask.shape))
        if self.penalty is not None:
            self.penalty.step = t  # which steps have a penalty, by `every`
            if self.penalty.generator is not None:
                self.penalty.generator.manual_seed(randomness.number(self.run.seed, "fraction", t))
        self.optimiser.zero_grad()
        total = self.total(x, y, self.probes(t))
        # Of the parameters alone: the gradient in x that the penalty's leaf would get is not used,
        # and of a LeNet on a CPU it is a fifth of the step.
        self.scaler.scale(total).backward(inputs=self.parameters)
        parallel.average(self.model)
        self.scaler.step(self.optimiser)
        self.scaler.update()
        return cast(Tensor, total.detach())

    def batch(self, t: int) -> tuple[Tensor, Tensor]:
        """x (R · rows, c, h, w), the labelled images of a run first, and y (R, batch)."""
        x, y = [], []
        for r, batches in enumerate(self.batches):
            rows = parallel.own(batches[t]).to(self.device)
            x.append(self.x[r][rows])
            y.append(self.y[r][rows])
            if self.run.unlabelled:
                x.append(self.u[r][parallel.own(self.unlabelled[r][t]).to(self.device)])
        return torch.cat(x), torch.stack(y)

    def mask(self, seed: int, t: int, width: int) -> Tensor:
        """Of dropout, for the rows of one run."""
        g = randomness.generator(seed, "dropout", t)
        return self.own_rows(torch.rand(self.all_rows, width, generator=g) < KEEP).float()

    @property
    def all_rows(self) -> int:
        """Of a run, in all processes."""
        return self.rows * parallel.size()

    def own_rows(self, drawn: Tensor) -> Tensor:
        """Those of this process, of what is drawn for all labelled rows and then for the others."""
        return torch.cat([parallel.own(part) for part in torch.split(drawn, self.run.batch)])

    def probes(self, t: int) -> Tensor | None:
        """For every row, or None: of a penalty without, or that is exact."""
        options = self.run.options
        exact = self.run.penalty == "jacreg" and options.get("num_probes") is None
        if exact or self.run.penalty not in ("spectreg", "jacreg"):
            return None
        n = 1 if options.get("shared_probe") else self.all_rows
        k = self.x[0][0].numel() if options.get("mode") == "forward" else self.classes
        law, q = options.get("probe", "gaussian"), options.get("num_probes", 1)
        if q >= k:
            raise ValueError(
                f"expected num_probes < {k}, got {q}: {k} products give the exact value; "
                "use frobreg, or jacreg without num_probes"
            )

        def drawn(seed: int) -> Tensor:
            g = randomness.generator(seed, "probes", t)
            r = draw_probes(law, n, k, q, generator=g)
            return self.own_rows(r.expand(self.all_rows, -1, -1))

        r = torch.cat([drawn(seed) for seed in self.seeds]).to(self.device)
        of_logits = options.get("mode") != "forward"  # inputs stay in single precision
        return r.to(getattr(torch, self.run.amp)) if self.run.amp and of_logits else r

    def objective(self, x: Tensor, y: Tensor, probes: Tensor | None) -> Tensor:
        """Σ over runs of L̄ + λ · penalty + β · Σ p log p. Weight decay is the optimiser's."""
        R, run = len(self.runs), self.run

        def labelled(a: Tensor) -> Tensor:
            return a.reshape(R, self.rows, -1)[:, : self.labelled].flatten(0, 1)

        def loss(z: Tensor, y: Tensor) -> Tensor:
            return R * F.cross_entropy(labelled(z), y.flatten())

        with self.autocast():
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
            # A run that comes to logits that are not finite is to be recorded, not refused.
            entropy = confidence_penalty(labelled(z), check_values=False)
            total = total + run.confidence * R * entropy
        return total

    def autocast(self) -> AbstractContextManager[Any]:
        """Of the forward pass."""
        if not self.run.amp:
            return nullcontext()
        kind = torch.device(self.device).type
        return torch.autocast(kind, getattr(torch, self.run.amp))

    def lost(self) -> list[int]:
        """Of a total that is not finite: the runs whose weights are not either, or all."""
        stacked = len(self.runs) > 1
        finite = torch.ones(len(self.runs), dtype=torch.bool, device=self.device)
        for p in self.parameters:
            finite &= p.detach().isfinite().reshape(len(self.runs), -1).all(1)
        some = (~finite).nonzero().flatten().tolist() if stacked else []
        return some or list(range(len(self.runs)))

    def state(self) -> dict[str, Any]:
        """All that a step changes."""
        return {
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "scaler": self.scaler.state_dict(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """What `state` gave."""
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.scaler.load_state_dict(state["scaler"])

    def network(self, r: int) -> nn.Module:
        """Of run r."""
        return self.model.network(r) if isinstance(self.model, Stack) else self.model


def architecture_of(run: Run, parts: Split, rows: int) -> Architecture:
    """What its network is built from; rows of a training step."""
    return Architecture(
        shape=cast(tuple[int, int, int], parts.train_images.shape[1:]),
        classes=len(parts.classes),
        rows=rows,
        dropout=run.dropout,
        batch_norm=run.batch_norm,
        width=run.width,
        initialisation=run.initialisation,
    )


def optimiser(model: nn.Module, run: Run) -> torch.optim.Optimizer:
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
        settings, lr=run.learning_rate, momentum=MOMENTUM, nesterov=True, fused=True
    )


def learning_rate(run: Run, t: int) -> float:
    """Of step t: a tenth from half of the run on, a hundredth from three quarters."""
    drops = (2 * t >= run.iterations) + (4 * t >= 3 * run.iterations)
    return float(run.learning_rate * 0.1**drops)
