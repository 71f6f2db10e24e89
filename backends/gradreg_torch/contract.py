"""Contract: the squared norm of JᵀR for an R of the user's own."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Unpack

import torch
from torch import Tensor

from gradreg_torch._arguments import same_device
from gradreg_torch._engine import (
    Contraction,
    Inputs,
    ModelOrLogits,
    Options,
    Side,
    checks,
    evaluate,
)
from gradreg_torch._engine.contraction import same_for_all
from gradreg_torch._engine.graph import is_batched
from gradreg_torch.penalty import Penalty

_Columns = Tensor | Callable[[Tensor, Any], Tensor]


@dataclass(frozen=True)
class _Given(Contraction):
    """R as the user gives it, or computes it from (logits, y); never detached."""

    by_user: ClassVar[bool] = True  # type: ignore[misc]

    R: _Columns
    y: Any = None

    def __post_init__(self) -> None:
        if not callable(self.R) and not isinstance(self.R, Tensor):
            raise TypeError(
                f"expected R to be a tensor, got {type(self.R).__name__}; pass a tensor (n, k, q), "
                "or a function of (logits, y)"
            )

    @property
    def same_for_all(self) -> bool:  # type: ignore[override]
        """Whether a constant R is one for all examples; without values to read, it may be."""
        R = self.R
        if not isinstance(R, Tensor) or R.ndim != 3 or R.shape[0] == 1:
            return False
        checks.dense("R", R)
        if R.stride(0) == 0 or torch.compiler.is_compiling() or is_batched(R):
            return True
        return R.is_cpu and same_for_all(R)  # no step on an accelerator waits

    def columns(self, side: Side) -> Tensor:
        """R[n, k, q]."""
        z = side.z
        R = self.R(z, self.y) if callable(self.R) else self.R
        same_device("R", R, z)
        if R.ndim != 3 or tuple(R.shape[:2]) != (len(z), side.size) or R.shape[2] == 0:
            raise ValueError(
                f"expected R with shape ({len(z)}, {side.size}, q), got {tuple(R.shape)}; for one "
                "column per example pass R[:, :, None]"
            )
        if not R.is_floating_point():
            hint = "torch.cat([R.real, R.imag], dim=2)" if R.is_complex() else "R.float()"
            raise TypeError(f"expected R of a real floating dtype, got {R.dtype}; pass {hint}")
        checks.wide("R", R.dtype)
        return R


def contract(
    model: ModelOrLogits, x: Inputs, R: _Columns, y: Any = None, **options: Unpack[Options]
) -> Tensor:
    """Compute ‖JᵀR‖²_F = Σ_iq (Σ_k J[k, i] R[k, q])² for a given R, by q vector-Jacobian products.

    Every gradient penalty of this package is this number with its own R. An R that depends on the
    parameters through the logits takes part in the gradient: it is never detached.

    Parameters
    ----------
    model, x, options
        As in `frobreg`; there is no forward mode.
    R : Tensor (n, k, q), or callable
        The columns, k over the flattened logits. A callable returns them from (logits, y), the
        logits in the shape that the model returns.
    y : optional
        Labels or targets, for a callable R.

    Returns
    -------
    Tensor () or (n,)
        Without a factor ½ and without division by q. In float32 for a float16 or bfloat16 network.

    Raises
    ------
    ValueError, TypeError, RuntimeError
        R has another shape or dtype. Every message says what to do.

    See Also
    --------
    gradreg_ref.contract : the same number from an explicit Jacobian.

    Examples
    --------
    >>> import torch
    >>> from gradreg_torch import contract
    >>> model = torch.nn.Linear(3, 2, bias=False)
    >>> x, ones = torch.ones(4, 3), torch.ones(4, 2, 1)
    >>> value = contract(model, x, ones)  # the squared gradient of the sum of the logits
    >>> torch.allclose(value, model.weight.sum(0).square().sum())
    True
    """
    return evaluate(model, x, _Given(R, y), **options).penalty


class Contract(Penalty):
    """`contract` as a module that keeps its options: ``Contract(R=lambda z, y: …)(net, x, y)``."""

    R = _Given
