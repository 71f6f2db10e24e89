"""Two processes, started with torchrun: gradients against one process on the whole batch.

``torchrun --standalone --nproc-per-node 2 tests/torch_backend/ranks.py`` prints one JSON object,
from the name of a case to its relative error, or to what it was refused with.
"""

import json
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import cache

import gradreg_torch as gt
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.nn.parallel import DistributedDataParallel as DDP

LAM = 0.3
torch.manual_seed(0)
X, Y = torch.randn(8, 6, dtype=torch.float64), torch.randint(0, 4, (8,))
R, V = torch.randn(8, 4, 1, dtype=torch.float64), torch.randn(8, 6, 1, dtype=torch.float64)
Step = Callable[..., Tensor]


def network(activation: type[nn.Module] = nn.Tanh) -> nn.Sequential:
    """The same on every rank."""
    torch.manual_seed(0)
    layers = nn.Linear(6, 8), activation(), nn.Linear(8, 8), activation(), nn.Linear(8, 4)
    return nn.Sequential(*layers).double()


def objective(model: Callable[..., Tensor], rows: slice, mode: str) -> Tensor:
    """One pass for loss and penalty."""
    probes = (V if mode == "forward" else R)[rows]
    step = gt.objective(model, X[rows], Y[rows], gt.SpectReg(mode=mode), probes=probes)
    return step.loss + LAM * step.penalty


def doubleback(model: nn.Module, rows: slice, mode: str) -> Tensor:
    """A penalty whose R depends on the parameters."""
    step = gt.objective(model, X[rows], Y[rows], gt.DoubleBack(mode=mode))
    return step.loss + LAM * step.penalty


def penalty(model: nn.Module, rows: slice, mode: str) -> Tensor:
    """The penalty alone."""
    probes = (V if mode == "forward" else R)[rows]
    return gt.spectreg(model, X[rows], probes=probes, mode=mode)


def hidden(model: nn.Module, rows: slice, mode: str) -> Tensor:
    """The wrapper behind a lambda."""
    return objective(lambda x: model(x), rows, mode)


def inside(model: nn.Module, rows: slice, mode: str) -> Tensor:
    """The penalty alone, of a module that holds the wrapper."""
    return penalty(nn.Sequential(model), rows, mode)


def loss_first(model: nn.Module, rows: slice, mode: str) -> Tensor:
    """Two passes."""
    return F.cross_entropy(model(X[rows]), Y[rows]) + LAM * penalty(model, rows, mode)


def penalty_first(model: nn.Module, rows: slice, mode: str) -> Tensor:
    """Two passes, the other way round."""
    value = LAM * penalty(model, rows, mode)
    return value + F.cross_entropy(model(X[rows]), Y[rows])


def of_logits(model: nn.Module, rows: slice, mode: str) -> Tensor:
    """The form (logits, x)."""
    x = X[rows].clone().requires_grad_()
    z = model(x)
    return F.cross_entropy(z, Y[rows]) + LAM * gt.spectreg(z, x, probes=R[rows], mode=mode)


def beside_the_wrapper(model: nn.Module, rows: slice, mode: str) -> Tensor:
    """Loss through the wrapper, penalty through what it wraps."""
    inner = model.module if isinstance(model, DDP) else model
    return F.cross_entropy(model(X[rows]), Y[rows]) + LAM * penalty(inner, rows, mode)


def sharded(model: nn.Module, stay: bool = False, **options: object) -> nn.Module:
    """FSDP2, layer by layer."""
    if stay:
        options["reshard_after_forward"] = False
    for layer in model.children():
        if isinstance(layer, nn.Linear):
            fully_shard(layer, **options)
    fully_shard(model, **options)
    if stay:
        model.set_reshard_after_backward(False)
    return model


HALF = MixedPrecisionPolicy(param_dtype=torch.bfloat16, output_dtype=torch.float32)
WRAPPERS: dict[str, Callable[[nn.Module], nn.Module]] = {
    "DDP": DDP,
    "DDP, unused": lambda model: DDP(model, find_unused_parameters=True),
    "DDP, static": lambda model: DDP(model, static_graph=True),
    "FSDP2": sharded,
    "FSDP2, staying": lambda model: sharded(model, stay=True),
    "FSDP2, bfloat16": lambda model: sharded(model.float(), mp_policy=HALF),
}
STEPS: list[Step] = [
    *(objective, hidden, doubleback, penalty, inside, loss_first, penalty_first, of_logits)
]


def cases() -> Iterator[tuple[str, Callable[[nn.Module], nn.Module], Step, str]]:
    """Name, wrapper, step, mode."""
    for name, wrap in WRAPPERS.items():
        for step in [*STEPS, beside_the_wrapper] if name == "DDP, static" else STEPS:
            for mode in ("reverse", "forward", "finite_difference", "auto"):
                if (step is doubleback and mode == "forward") or (
                    step is of_logits and mode in MODEL
                ):
                    continue
                yield f"{name} · {step.__name__} · {mode}", wrap, step, mode


MODEL = ("forward", "finite_difference")


def gradient(model: nn.Module) -> Tensor:
    """Of all parameters, whole."""
    found = []
    for p in model.parameters():
        g = torch.zeros_like(p) if p.grad is None else p.grad
        found.append((g.full_tensor() if hasattr(g, "full_tensor") else g).flatten())
    return torch.cat(found).double()


def reshard(model: nn.Module) -> None:
    """Where parameters stay unsharded, gradients are read and cleared on the shards."""
    for part in model.modules():
        if isinstance(part, FSDPModule):
            part.reshard()


@cache
def of_one_process(step: Step, mode: str, **make: type) -> Tensor:
    """The gradient on the whole batch, without a wrapper."""
    alone = network(**make)
    step(alone, slice(8), mode).backward()
    return gradient(alone)


def error(step: Step, wrap: Callable[[nn.Module], nn.Module], mode: str, **make: type) -> float:
    """Of the second step, as wrappers behave otherwise in the first."""
    expected = of_one_process(step, mode if mode == "forward" else "reverse", **make)
    model, rank = wrap(network(**make)), dist.get_rank()
    for _ in range(2):
        reshard(model)
        model.zero_grad()
        step(model, slice(4 * rank, 4 * rank + 4), mode).backward()
    reshard(model)
    return float((gradient(model) - expected).abs().max() / expected.abs().max())


def accumulated() -> float:
    """Two micro-batches, averaged over ranks once."""
    alone, model, rank = network(), DDP(network()), dist.get_rank()
    for part in range(2):
        for r in range(2):
            objective(alone, slice(4 * r + 2 * part, 4 * r + 2 * part + 2), "reverse").backward()
        rows = slice(4 * rank + 2 * part, 4 * rank + 2 * part + 2)
        with model.no_sync() if part == 0 else nullcontext():
            objective(model, rows, "reverse").backward()
    expected = gradient(alone) / 2
    return float((gradient(model) - expected).abs().max() / expected.abs().max())


def independent_probes() -> bool:
    """One seed: each rank its own probes, the same in every run."""
    g = gt.rank_generator(7)
    mine = gt.draw_probes("gaussian", 4, 3, generator=g)
    everyone = [torch.empty_like(mine) for _ in range(dist.get_world_size())]
    dist.all_gather(everyone, mine)
    again = [
        gt.draw_probes("gaussian", 4, 3, generator=gt.rank_generator(7, rank=r)) for r in (0, 1)
    ]
    same = all(torch.equal(a, b) for a, b in zip(everyone, again, strict=True))
    return same and not torch.equal(*everyone)


def toy(wrap: Callable[[nn.Module], nn.Module], rows: slice) -> Tensor:
    """Parameters after ten steps of training."""
    model = wrap(network())
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(10):
        optimiser.zero_grad()
        objective(model, rows, "auto").backward()
        optimiser.step()
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def trained() -> float:
    """Ten steps on two ranks against ten on one."""
    rank = dist.get_rank()
    two = toy(DDP, slice(4 * rank, 4 * rank + 4))
    return float((two - toy(lambda model: model, slice(8))).abs().max())


def attempt(run: Callable[[], object]) -> object:
    """Its result, or the message of its refusal; both ranks are refused alike."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return run()
    except ValueError as refusal:
        return str(refusal)


def main() -> None:
    """Every case, then the rest; rank 0 prints."""
    from rank_faults import faults

    dist.init_process_group("gloo")
    found = {name: attempt(lambda c=c: error(c[1], c[0], c[2])) for name, *c in cases()}
    found["FSDP2 · ReLU · finite_difference"] = error(
        objective, sharded, "finite_difference", activation=nn.ReLU
    )
    found["DDP · accumulated"] = accumulated()
    found["DDP · ten steps"] = trained()
    found |= faults()
    found["independent probes"] = independent_probes()
    if dist.get_rank() == 0:
        json.dump(found, sys.stdout, indent=0)
        sys.stdout.flush()
    dist.barrier()
    dist.destroy_process_group()
    # Reducers of two dozen models that are freed at exit have been seen to call std::terminate.
    os._exit(0)


if __name__ == "__main__":
    main()
