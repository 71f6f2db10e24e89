"""What a training step costs with a penalty, as a ratio to the plain step *in the same run*.

``python benchmarks/step_cost.py --out benchmarks/results/cpu.json`` (one thread), or on a machine
with CUDA ``PYTHONPATH=backends:. python benchmarks/step_cost.py --device cuda``: torch, NumPy,
SciPy and this checkout are enough. Variants take turns, so that a slow moment of the machine is
everybody's; a row is the median over turns of its time divided by the plain step's of that turn.
"""

import argparse
import json
import statistics
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import gradreg_torch as gt
import torch
from losses import COMPILED, Loss, compiled_variants, variants
from networks import SUBJECTS, Subject
from timing import RATE, checked, parser_of_networks, provenance, summary, take_turns, write
from torch import Tensor

from gradreg_verify.frameworks.registry import load


class Trainer:
    """A model, its data and its optimiser."""

    def __init__(self, subject: Subject, m: int, device: str) -> None:
        torch.manual_seed(0)
        self.model = subject.make(m).to(device)
        self.x = torch.randn(subject.batch, *subject.shape, device=device)
        self.y = torch.randint(0, m, (subject.batch,), device=device)
        self.optimiser = torch.optim.SGD(self.model.parameters(), lr=RATE)

    def step(self, loss: Loss) -> None:
        """Take one training step."""
        self.optimiser.zero_grad()
        loss(self.model, self.x, self.y).backward()
        self.optimiser.step()


def seconds(trainer: Trainer, loss: Loss, steps: int) -> float:
    """Return the seconds of one step, as a mean of `steps`."""
    wait(trainer.x)
    start = time.perf_counter()
    for _ in range(steps):
        trainer.step(loss)
    wait(trainer.x)
    return (time.perf_counter() - start) / steps


def wait(x: Tensor) -> None:
    """Wait for the device."""
    if not x.is_cpu:
        torch.accelerator.synchronize(x.device)


def peak_bytes(trainer: Trainer, loss: Loss) -> int:
    """Most that a step has allocated at once, beyond parameters and data."""
    if trainer.x.is_cuda:
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        trainer.step(loss)
        return torch.cuda.max_memory_allocated() - before
    with torch.profiler.profile(profile_memory=True) as profile:
        trainer.step(loss)
    events = profile.profiler.kineto_results.events()
    held = most = 0
    for event in sorted((e for e in events if e.name() == "[memory]"), key=lambda e: e.start_ns()):
        held += event.nbytes()
        most = max(most, held)
    return most


def measured(
    trainer: Trainer, losses: dict[str, tuple[Loss, int]], turns: int
) -> Iterator[dict[str, Any]]:
    """Time and memory of a step of each variant, with the ratios to the plain step."""
    clocks = {variant: partial(seconds, trainer, *of) for variant, of in losses.items()}
    take_turns(clocks, 1)  # warm up
    taken = take_turns(clocks, turns)
    memory = {variant: peak_bytes(trainer, loss) for variant, (loss, _) in losses.items()}
    for variant, times in taken.items():
        base = COMPILED if variant.endswith(", compiled") else "plain"
        ratio = round(memory[variant] / memory[base], 3)
        yield {"variant": variant} | summary(times, taken[base]) | {"memory_ratio": ratio}


NOISY = "residual net"


def noise(trainer: Trainer, **options: Any) -> float:
    """Relative standard deviation of the batch mean over 100 draws of probes."""
    g = torch.Generator(trainer.x.device).manual_seed(1)
    with torch.no_grad():
        values = [
            float(gt.spectreg(trainer.model, trainer.x, generator=g, **options)) for _ in range(100)
        ]
    return statistics.stdev(values) / statistics.mean(values)


def fits(name: str, variant: str) -> bool:
    """Whether a network has the batch norm that a variant needs, or none that couples examples."""
    if "batchnorm" in variant:
        return name == "residual net"
    return not (name == "residual net" and ("frobreg" in variant or "fraction" in variant))


def rows(name: str, m: int, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Measure one network with m classes."""
    device = arguments.device
    trainer = Trainer(SUBJECTS[name], m, device)
    losses = variants(m, device) | (compiled_variants(m, device) if arguments.compile else {})
    losses = {
        variant: of
        for variant, of in losses.items()
        if fits(name, variant) and (variant.startswith("plain") or arguments.only in variant)
    }
    turns = arguments.turns if m == 10 else min(arguments.turns, 3)  # 200 products take their time
    found = []
    for row in measured(trainer, losses, turns):
        found.append({"network": name, "m": m} | row | {"turns": turns})
        print(json.dumps(found[-1]), flush=True)
    return found


def noises(device: str) -> list[dict[str, Any]]:
    """Measure the noise of each law of probes."""
    trainer = Trainer(SUBJECTS[NOISY], 10, device)
    trainer.model.eval()
    laws: list[dict[str, Any]] = [
        {"probe": "gaussian"},
        {"probe": "rademacher"},
        {"probe": "sphere"},
        {"probe": "gaussian", "num_probes": 5},
        {"probe": "orthogonal", "num_probes": 5},
    ]
    return [law | {"relative_sd": round(noise(trainer, **law), 5)} for law in laws]


def main() -> None:
    """The command line."""
    command_line = parser_of_networks(__doc__, SUBJECTS, [10, 200])
    command_line.add_argument("--compile", action="store_true", help="rows of compiled steps too")
    backend = load("torch")
    arguments = checked(command_line, backend)
    torch.set_num_threads(1)
    kind = arguments.device.partition(":")[0]
    devices = backend.capabilities().devices
    device = "one CPU thread" if kind == "cpu" else devices.get(arguments.device, kind)
    result = provenance("torch", torch.__version__, device)
    result["rows"] = []
    if NOISY in arguments.networks:
        result["noise"] = noises(arguments.device)
    for name in arguments.networks:
        for m in arguments.classes:
            if (name, m) in TOO_LARGE and arguments.device == "cpu":
                continue
            result["rows"] += rows(name, m, arguments)
            write(result, arguments.out)


# Exact FrobReg keeps m graphs: 23 GB and more.
TOO_LARGE = {("residual net", 200), ("vision transformer", 200)}


if __name__ == "__main__":
    main()
