"""A penalty of a reference network as a compiled program, kept for the next call.

Op by op, JAX compiles every operation for every new shape, which takes longer than the whole
program at once; and a verification calls the same program with thousands of probes. Compiling is
most of what a verification costs, so a program is compiled without XLA's optimisations.
"""

from collections.abc import Callable
from dataclasses import fields
from functools import cache, lru_cache
from typing import Any

import gradreg_jax
import jax
import numpy as np

from gradreg_ref.networks import Network
from gradreg_ref.networks.network import Residual
from gradreg_verify.frameworks.base import functions_of
from gradreg_verify.frameworks.jax.convert import to_jax
from gradreg_verify.frameworks.jax.devices import placed

FUNCTIONS = functions_of(gradreg_jax, lambda f, params, x: f(params, x), lambda _, params: params)


class Problem:
    """A network and options without arrays: equal to another if their programs are."""

    def __init__(self, network: Network, **options: Any) -> None:
        self.network, self.options = network, options
        self.content = str((_structure(network.layers), sorted(options.items())))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Problem) and self.content == other.content

    def __hash__(self) -> int:
        return hash(self.content)


def _structure(layers: tuple[Any, ...]) -> list[Any]:
    """Return what a network is beside its parameters."""
    return [
        _structure(layer.body)
        if isinstance(layer, Residual)
        else (type(layer).__name__, *(_constant(layer, f.name) for f in fields(layer)))
        for layer in layers
    ]


def _constant(layer: Any, name: str) -> Any:
    """Return what a program depends on: whether a parameter is None, the bytes of another array."""
    a = getattr(layer, name)
    if name in layer.parameter_names:
        return a is None
    return (a.shape, a.dtype.str, a.tobytes()) if isinstance(a, np.ndarray) else a


# Every program takes some 20 memory maps, and Linux gives a process 65,530.
@lru_cache(maxsize=512)
def program(penalty: str, problem: Problem) -> Callable[..., Any]:
    """Gradient of the sum in the parameters, and value, at (params, x, y, random); compiled."""
    f, _ = to_jax(problem.network)

    def total(params: Any, x: Any, y: Any, random: dict[str, Any]) -> tuple[Any, Any]:
        value = FUNCTIONS[penalty](f, params, x, y, **random, **problem.options)
        return value.sum(), value

    return compiled(jax.grad(total, has_aux=True))


@lru_cache(maxsize=64)
def parameters(network: Network, dtype: Any, device: str) -> list[Any]:
    """The parameters of a network, converted once for calls at the same network."""
    with placed(device):
        return to_jax(network, dtype)[1]


@lru_cache(maxsize=4096)
def key_of(seed: int, device: str) -> Any:
    """The key of a seed, made once: to make one takes longer than to run a small program."""
    with placed(device):
        return jax.random.key(seed)


def compiled(function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    """`jax.jit` without the optimisations, which no program of a few hundred numbers repays."""
    return jax.jit(function, compiler_options=_quickly(), **options)


@cache
def _quickly() -> dict[str, Any]:
    """Options with which XLA compiles a small program seven times faster; {} where it lacks one."""
    options = {
        "xla_backend_optimization_level": 0,
        "xla_llvm_disable_expensive_passes": True,
        "xla_cpu_use_fusion_emitters": False,
        "xla_cpu_parallel_codegen_split_count": 1,
    }
    try:
        jax.jit(lambda: 0, compiler_options=options).lower().compile()
    except Exception:  # another version's XLA has other options
        return {}
    return options
