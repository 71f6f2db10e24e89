"""The reference behind the backend protocol: explicit Jacobians, and gradients by complex step."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from gradreg_ref import checks
from gradreg_ref.complex_step import directional_derivative, gradient
from gradreg_ref.networks import Network
from gradreg_ref.penalties import PENALTIES, Case, Formula
from gradreg_ref.probes import draw
from gradreg_ref.typing import Array, Law
from gradreg_verify.frameworks.registry import Capabilities, processor, require_device
from gradreg_verify.subject.declared import DeclaredPenalty


class LoopbackBackend:
    """The reference itself. In float64, without a framework.

    Parameters
    ----------
    formulas : mapping, optional
        Formulas that stand in for those of the reference: how a wrong one is planted.
    sides : tuple of str
        The sides whose probes they take.
    """

    name = "loopback"

    def __init__(
        self, formulas: Mapping[str, Formula] = {}, sides: tuple[str, ...] = ("output", "input")
    ) -> None:
        self.sides = sides
        self.formulas = {name: row.formula for name, row in PENALTIES.items()} | {**formulas}

    def capabilities(self) -> Capabilities:
        """NumPy, on the CPU, in float64."""
        framework, devices = f"numpy {np.__version__}", {"cpu": processor()}
        return Capabilities(framework, devices, ("float64",), ("explicit Jacobian",), self.sides)

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
        return self.formulas[penalty](Case.at(network, x, y), **options)

    def gradient(
        self, penalty: str, network: Network, x: Array, y: Array | None = None, **options: Any
    ) -> Array:
        """The formula's complex step, one parameter at a time."""
        return gradient(lambda net: self.value(penalty, net, x, y, **options).sum(), network)

    def slope(
        self, penalty: str, network: Network, x: Array, y: Array, direction: Array, **options: Any
    ) -> Array:
        """`gradient` along a direction: one complex step."""
        return directional_derivative(
            lambda net: self.value(penalty, net, x, y, **options).sum(), network, direction
        )

    def draw(
        self, probe: Law, n: int, m: int, num_probes: int, *, seed: int, device: str = "cpu"
    ) -> Array:
        """Probes r[n, k, q] as `value` draws them for that seed."""
        require_device(self, device)
        return draw(probe, np.random.default_rng(seed), n, m, num_probes)

    def functions_declared(self, device: str) -> list[DeclaredPenalty]:
        """None: a formula on an explicit Jacobian takes no model."""
        require_device(self, device)
        return []
