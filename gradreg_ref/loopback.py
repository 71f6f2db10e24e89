"""The reference behind the backend protocol: explicit Jacobians, and gradients by complex step."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

import gradreg_ref as ref
from gradreg_ref import checks
from gradreg_ref.backends import Capabilities, processor, require_device
from gradreg_ref.complex_step import gradient
from gradreg_ref.networks import Network
from gradreg_ref.probes import draw
from gradreg_ref.typing import Array, Law


@dataclass(frozen=True)
class Case:
    """What a formula may use: logits z[n, k], Jacobian J[n, k, i], labels, the network."""

    network: Network
    z: Array
    J: Array
    y: Any


Formula = Callable[..., Array]

FORMULAS: dict[str, Formula] = {
    "frobreg": lambda c, **options: ref.frobreg(c.J, **options),
    "spectreg": lambda c, **options: ref.spectreg(c.J, **options),
    "doubleback": lambda c, **options: ref.doubleback(c.J, c.z, c.y, **options),
    "jacreg": lambda c, **options: ref.jacreg(c.J, c.z, **options),
    "onehot": lambda c, **options: ref.onehot(c.J, c.y, **options),
    "confidence_penalty": lambda c, **options: ref.confidence_penalty(c.z, **options),
    "weight_decay": lambda c, **_: ref.weight_decay(c.network.weights()),
}


def evaluate(
    formula: Formula, network: Network, x: Array, y: Array | None = None, **options: Any
) -> Array:
    """A formula at the network's own logits and Jacobian. Complex-safe."""
    return formula(Case(network, network.forward(x), network.jacobian(x), y), **options)


class LoopbackBackend:
    """The reference itself. In float64, without a framework.

    Parameters
    ----------
    formulas : mapping, optional
        Formulas that stand in for those of the reference: how a wrong one is planted.
    """

    name = "loopback"

    def __init__(self, formulas: Mapping[str, Formula] | None = None) -> None:
        self.formulas = FORMULAS | dict(formulas or {})

    def capabilities(self) -> Capabilities:
        """NumPy, on the CPU, in float64; a formula of one's own knows no sides."""
        mirrored = self.formulas["spectreg"] is FORMULAS["spectreg"]
        return Capabilities(
            f"numpy {np.__version__}",
            {"cpu": processor()},
            ("float64",),
            ("explicit Jacobian",),
            ("output", "input") if mirrored else ("output",),
        )

    def value(
        self,
        penalty: str,
        network: Network,
        x: Array,
        y: Array | None = None,
        *,
        dtype: str = "float64",
        device: str = "cpu",
        seed: int | None = None,
        **options: Any,
    ) -> Array:
        """The explicit formula."""
        checks.choice("penalty", penalty, self.formulas)
        checks.choice("dtype", dtype, self.capabilities().dtypes)
        require_device(self, device)
        if seed is not None:
            # A new generator at every evaluation: all of them see the same probes.
            options["rng"] = np.random.default_rng(seed)
        return evaluate(self.formulas[penalty], network, x, y, **options)

    def gradient(
        self,
        penalty: str,
        network: Network,
        x: Array,
        y: Array | None = None,
        **options: Any,
    ) -> Array:
        """The formula's complex step, one parameter at a time."""
        return gradient(lambda net: self.value(penalty, net, x, y, **options).sum(), network)

    def draw(
        self, probe: Law, n: int, m: int, num_probes: int, *, seed: int, device: str = "cpu"
    ) -> Array:
        """Probes r[n, k, q] as `value` draws them for that seed."""
        require_device(self, device)
        return draw(probe, np.random.default_rng(seed), n, m, num_probes)
