"""Batch norm in training mode, differentiated twice in closed form.

torch differentiates its own backward pass as a chain of elementwise kernels, which is most of the
cost of a penalty on a residual net. Per channel, over N entries, with a bar for the mean over them:

    x̂ = (x − μ) s,  s = 1/√(var + ε),  y = w x̂ + b
    B(g) = w s (g − ḡ − x̂ · mean(g x̂))                  the backward pass in x

For a cotangent u of B(g), with a = ū, b = ḡ, c = mean(u x̂), d = mean(g x̂), e = mean(u g):

    in g   B(u), since B is symmetric
    in x   −w s² (d u + c g + t x̂ − (d a + c b)),  t = e − a b − 3 c d
    in w   N s (e − a b − c d)

The gradients in w and b, Σ g x̂ and Σ g, have cotangents v and q of their own. These add
v x̂ + q in g, and v B(g)/w in x.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.overrides import TorchFunctionMode

from gradreg_torch._engine.graph import is_functional, saved_tensor_hooks


class _ClosedFormBatchNorm(torch.autograd.Function):
    """y = w x̂ + b, by torch's kernel."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        running: tuple[Tensor | None, Tensor | None],
        momentum: float,
        eps: float,
    ) -> Tensor:
        """The value; running statistics move."""
        y, mean, s = torch.native_batch_norm(x, weight, bias, *running, True, momentum, eps)
        ctx.save_for_backward(x, weight, mean, s)
        ctx.eps, ctx.examples = eps, x.shape[0]
        return y

    @staticmethod
    def backward(ctx: Any, *cotangents: Any) -> Any:
        """B(g), and the gradients in w and b, which can be differentiated once more."""
        return (*_Backward.apply(cotangents[0], *ctx.saved_tensors, ctx.eps), None, None, None)  # type: ignore[no-untyped-call]


class _Backward(torch.autograd.Function):
    """(g, x, w) ↦ B(g), Σ g x̂, Σ g."""

    @staticmethod
    def forward(
        ctx: Any, g: Tensor, x: Tensor, weight: Tensor, mean: Tensor, s: Tensor, eps: float
    ) -> Any:
        """Compute the value by torch's kernel."""
        ctx.set_materialize_grads(False)  # v and q are mostly not there
        B_g, Σgx, Σg = _kernel(g, x, weight, mean, s, eps)
        ctx.save_for_backward(g, x, weight, mean, s, Σgx, Σg)
        return B_g, Σgx, Σg

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *cotangents: Any) -> Any:
        """The formulas of the module's docstring, by channel."""
        g, x, weight, mean, s, Σgx, Σg = ctx.saved_tensors
        u, v, q = cotangents
        u = torch.zeros_like(x) if u is None else u
        dims, N = (0, *range(2, x.ndim)), x.numel() // x.shape[1]
        in_g, Σux, Σu = _kernel(u, x, weight, mean, s, 0.0)
        a, b, c, d = Σu / N, Σg / N, Σux / N, Σgx / N
        e = (u * g).sum(dims) / N
        t = e - a * b - 3 * c * d
        centred = x - mean.view(1, -1, *(1,) * (x.ndim - 2))
        k = -weight * s * s
        in_x = combined((k * d, u), (k * c, g), (k * t * s, centred), -k * (d * a + c * b))
        if v is not None:  # v x̂ in g; v s (g − ḡ − x̂ d) in x
            vs = v * s
            in_g = in_g + combined((vs, centred), 0 * vs)
            in_x = in_x + combined((vs, g), (-vs * s * d, centred), -vs * b)
        if q is not None:
            in_g = in_g + q.view(1, -1, *(1,) * (x.ndim - 2))
        return in_g, in_x, N * s * (e - a * b - c * d), None, None, None


def combined(*terms: Any) -> Tensor:
    """Σ_j c_j T_j + c, the coefficients by channel."""
    (first, T), *others, constant = terms
    shape = (1, -1) + (1,) * (T.ndim - 2)
    total: Tensor = T * first.view(shape)
    for coefficient, tensor in others:
        total.addcmul_(tensor, coefficient.view(shape))
    return total.add_(constant.view(shape))


def _kernel(g: Tensor, x: Tensor, weight: Tensor, mean: Tensor, s: Tensor, eps: float) -> Any:
    """torch's backward pass of batch norm in training mode."""
    return torch.ops.aten.native_batch_norm_backward(
        g, x, weight, None, None, mean, s, True, eps, [True, True, True]
    )


class TwiceDifferentiable(TorchFunctionMode):
    """Context in which batch norm in training mode has the closed form.

    Elsewhere than on the CPU, in half precision, under `torch.func` transforms and in checkpointed
    blocks, which would recompute without this mode, torch's own batch norm runs.
    """

    def __init__(self) -> None:
        super().__init__()
        self.hooks = saved_tensor_hooks()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """The closed form, where it can stand in."""
        return (self.batch_norm if func is F.batch_norm else func)(*args, **(kwargs or {}))

    def batch_norm(
        self,
        x: Tensor,
        running_mean: Tensor | None,
        running_var: Tensor | None,
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        training: bool = False,
        momentum: float = 0.1,
        eps: float = 1e-5,
    ) -> Tensor:
        """Compute `torch.nn.functional.batch_norm`."""
        fits = (
            training
            and x.dtype in (torch.float32, torch.float64)
            and x.device.type == "cpu"
            and saved_tensor_hooks() == self.hooks
            and not is_functional()
        )
        if not fits:
            return F.batch_norm(x, running_mean, running_var, weight, bias, training, momentum, eps)
        weight = x.new_ones(x.shape[1]) if weight is None else weight
        bias = x.new_zeros(x.shape[1]) if bias is None else bias
        running = (running_mean, running_var)
        y: Tensor = _ClosedFormBatchNorm.apply(x, weight, bias, running, momentum, eps)  # type: ignore[no-untyped-call]
        return y
