"""The torch backend behind the protocol of `gradreg_verify.frameworks.registry`."""

from typing import Any

import gradreg_torch
import torch
from gradreg_torch.probes import LAWS
from torch import Tensor, nn

from gradreg_ref import checks
from gradreg_ref.networks import Network
from gradreg_ref.typing import Array, Law
from gradreg_verify.frameworks.base import OneByOne, declared_by, functions_of
from gradreg_verify.frameworks.registry import require_device
from gradreg_verify.frameworks.torch import precisions, settings
from gradreg_verify.frameworks.torch.convert import shared_module
from gradreg_verify.frameworks.torch.harness import TorchHarness
from gradreg_verify.frameworks.torch.precisions import DTYPES, gradient_of, tensor, to_numpy

FUNCTIONS = functions_of(gradreg_torch, lambda model, x: model(x), lambda model: model)


class TorchBackend(OneByOne):
    """torch, on devices with float64; probes of the inputs by forward mode."""

    name = "torch"
    capabilities, steady = staticmethod(precisions.capabilities), staticmethod(settings.steady)
    Harness = TorchHarness
    declared = tuple(declared_by(gradreg_torch, ("model",), ("probes", "generator"), "model"))

    def value(self, *at: Any, **options: Any) -> Array:
        """Compute the value by vector-Jacobian products."""
        return to_numpy(self.run(*at, **options)[1])

    def gradient(self, *at: Any, **options: Any) -> Array:
        """Compute the parameter gradient by double backward."""
        module, value = self.run(*at, **options)
        return gradient_of(value, module)

    def run(
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
    ) -> tuple[nn.Module, Tensor]:
        """The network as a module, and the penalty's value with its graph."""
        precision = DTYPES[checks.choice("dtype", dtype, DTYPES)]
        require_device(self, device)
        module = shared_module(network, precision, device)
        if "probes" in options:
            options["probes"] = tensor(options["probes"], dtype, device)
        if options.pop("side", "output") == "input":
            options["mode"] = "forward"
        if seed is not None:
            options["generator"] = torch.Generator(device).manual_seed(seed)
        function = FUNCTIONS[checks.choice("penalty", penalty, FUNCTIONS)]
        labels = None if y is None else tensor(y, dtype, device)
        options["check_values"] = True  # at every call on an accelerator too
        return module, function(module, tensor(x, dtype, device), labels, **options)

    def draw(
        self, probe: Law, n: int, m: int, num_probes: int, *, seed: int, device: str = "cpu"
    ) -> Array:
        """Probes r[n, k, q] as `value` draws them for that seed."""
        require_device(self, device)
        g = torch.Generator(device).manual_seed(seed)
        return to_numpy(LAWS[checks.choice("probe", probe, LAWS)](g, n, m, num_probes))
