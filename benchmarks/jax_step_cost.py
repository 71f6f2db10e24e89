"""What a compiled training step costs with a penalty in JAX, in plain compiled steps.

``python benchmarks/jax_step_cost.py --out benchmarks/results/jax_cpu.json`` (one thread), or where
JAX sees a GPU ``PYTHONPATH=backends:. python benchmarks/jax_step_cost.py --device gpu:0``. Turns
and ratios are those of step_cost.py; compilation is timed once and counts in no turn.
"""

import argparse
import json
import os
import time
from functools import partial
from typing import Any

import jax
import numpy as np
from jax_convolutions import convolutions
from jax_losses import LOSSES, Loss
from jax_networks import SUBJECTS, Subject
from timing import RATE, checked, parser_of_networks, provenance, summary, take_turns, write

from gradreg_verify.frameworks.jax.backend import JaxBackend


class Trainer:
    """A network, its data, and what a step replaces: parameters and key."""

    def __init__(self, subject: Subject, m: int) -> None:
        rng = np.random.default_rng(0)
        self.f, params = subject.make(m)
        self.x = jax.device_put(np.float32(rng.normal(size=(subject.batch, *subject.shape))))
        self.y = jax.device_put(rng.integers(0, m, subject.batch).astype(np.int32))
        self.state = jax.device_put((params, jax.random.key(0)))

    def compile(self, loss: Loss) -> tuple[Any, float]:
        """A step of SGD that takes the place of its state in memory; seconds to compile it."""

        def step(state: Any, x: Any, y: Any) -> tuple[Any, Any]:
            params, key = state
            key, now = jax.random.split(key)
            descended = partial(loss, self.f)
            value, gradient = jax.value_and_grad(descended)(params, x, y, now)
            moved = jax.tree.map(lambda p, g: p - RATE * g, params, gradient)
            return (moved, key), value

        start = time.perf_counter()
        lowered = jax.jit(step, donate_argnums=0).lower(self.state, self.x, self.y)
        return lowered.compile(), time.perf_counter() - start

    def seconds(self, step: Any) -> float:
        """Return the seconds of one step."""
        start = time.perf_counter()
        self.state, value = step(self.state, self.x, self.y)
        jax.block_until_ready((self.state, value))
        return time.perf_counter() - start


def planned(step: Any) -> dict[str, float]:
    """Return what XLA says of a step: bytes beside parameters and data, and arithmetic."""
    return {
        "memory_ratio": step.memory_analysis().temp_size_in_bytes,
        "operations_ratio": step.cost_analysis()["flops"],
    }


def fits(name: str, variant: str) -> bool:
    """Whether a network has what a variant needs: convolutions; for FrobReg, no batch norm."""
    if "conv" in variant:
        return name != "MLP"
    return not ("frobreg" in variant and name == "residual net")


def rows(name: str, m: int, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Measure one network with m classes."""
    trainer, steps, compiling = Trainer(SUBJECTS[name], m), {}, {}
    for variant, loss in LOSSES.items():
        if fits(name, variant) and (variant == "plain" or arguments.only in variant):
            steps[variant], compiling[variant] = trainer.compile(loss)
            trainer.seconds(steps[variant])  # warm up
    clocks = {variant: partial(trainer.seconds, step) for variant, step in steps.items()}
    taken = take_turns(clocks, arguments.turns)
    found = []
    for variant, times in taken.items():
        row = {"network": name, "m": m, "variant": variant, **summary(times, taken["plain"])}
        base = planned(steps["plain"])
        row |= {key: round(of / base[key], 3) for key, of in planned(steps[variant]).items()}
        row |= {"compile_seconds": round(compiling[variant], 2), "turns": arguments.turns}
        found.append(row)
        print(json.dumps(found[-1]), flush=True)
    return found


def one_thread() -> None:
    """Before JAX starts: XLA makes as many threads as there are CPUs, whatever the flags say."""
    flags = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    os.environ.setdefault("XLA_FLAGS", flags)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def main() -> None:
    """The command line."""
    command_line = parser_of_networks(__doc__, SUBJECTS, [10])
    one_thread()
    arguments = checked(command_line, JaxBackend())
    platform, _, number = arguments.device.partition(":")
    here = jax.devices(platform)[int(number or 0)]
    label = "one CPU thread" if here.platform == "cpu" else here.device_kind
    result = provenance("jax", jax.__version__, label) | {"rows": []}
    with jax.default_device(here):
        result["convolutions"] = convolutions(arguments.turns)
        for name in arguments.networks:
            for m in arguments.classes:
                result["rows"] += rows(name, m, arguments)
                write(result, arguments.out)


if __name__ == "__main__":
    main()
