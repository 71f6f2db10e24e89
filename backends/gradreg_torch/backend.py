"""The torch backend behind the protocol of `gradreg_ref.backends`."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

import gradreg_torch
from gradreg_ref import checks
from gradreg_ref.backends import PENALTIES, Capabilities, Evaluation, require_device
from gradreg_ref.networks import Network
from gradreg_ref.typing import Array, Law, Reduction
from gradreg_torch.convert import to_torch
from gradreg_torch.probes import LAWS

DTYPES = {
    "float64": torch.float64,
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}
LABELLED = ("doubleback", "onehot")


class TorchBackend:
    """torch, in reverse mode, on the CPU and on CUDA devices."""

    name = "torch"

    def capabilities(self) -> Capabilities:
        """The installed torch, and the devices it sees."""
        cuda = {
            f"cuda:{i}": torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())
        }
        cpu = {"cpu": f"{torch.get_num_threads()} threads"}
        return Capabilities(f"torch {torch.__version__}", cpu | cuda, tuple(DTYPES), ("reverse",))

    def evaluate(
        self,
        penalty: str,
        network: Network,
        x: Array,
        y: Array | None = None,
        *,
        dtype: str = "float64",
        device: str = "cpu",
        reduction: Reduction = "mean",
        **options: Any,
    ) -> Evaluation:
        """Value by vector-Jacobian products, gradient by double backward."""
        checks.choice("penalty", penalty, PENALTIES)
        precision = DTYPES[checks.choice("dtype", dtype, DTYPES)]
        require_device(self, device)
        module = to_torch(network, dtype=precision, device=device)

        def tensor(a: Any) -> Tensor:
            t = torch.as_tensor(np.asarray(a), device=device)
            return t.to(precision) if t.is_floating_point() else t

        if "probes" in options:
            options["probes"] = tensor(options["probes"])
        if "seed" in options:
            options["generator"] = torch.Generator(device).manual_seed(options.pop("seed"))
        value = self.value(penalty, module, tensor(x), None if y is None else tensor(y), options, reduction)
        parameters = list(module.parameters())
        gradients = torch.autograd.grad(
            value.sum(), parameters, allow_unused=True, materialize_grads=True
        )
        flat = [numpy(g).ravel() for g in gradients]
        return Evaluation(numpy(value), np.concatenate(flat))

    def value(
        self,
        penalty: str,
        module: torch.nn.Module,
        x: Tensor,
        y: Tensor | None,
        options: dict[str, Any],
        reduction: Reduction,
    ) -> Tensor:
        """The function of that name, with the arguments its formula has."""
        function = getattr(gradreg_torch, penalty)
        if penalty == "weight_decay":
            return function(module)  # type: ignore[no-any-return]
        if penalty == "confidence_penalty":
            return function(module(x), reduction=reduction)  # type: ignore[no-any-return]
        labels = (y,) if penalty in LABELLED else ()
        return function(module, x, *labels, reduction=reduction, **options)  # type: ignore[no-any-return]

    def draw(
        self, probe: Law, n: int, m: int, num_probes: int, *, seed: int, device: str = "cpu"
    ) -> Array:
        """Probes r[n, k, q] as `evaluate` draws them."""
        require_device(self, device)
        g = torch.Generator(device).manual_seed(seed)
        return numpy(LAWS[checks.choice("probe", probe, LAWS)](g, n, m, num_probes))


def numpy(t: Tensor) -> Array:
    """A float64 copy on the host."""
    return t.detach().cpu().double().numpy()
