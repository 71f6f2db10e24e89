"""Onehot: the squared input gradient of the true class's logit."""

from dataclasses import dataclass
from typing import Unpack

from torch import Tensor
from torch.nn.functional import one_hot

from gradreg_torch import _arguments
from gradreg_torch._engine import Contraction, Inputs, ModelOrLogits, Options, Side, evaluate
from gradreg_torch.penalty import Penalty


@dataclass(frozen=True)
class _Label(Contraction):
    """R = e_y, one column."""

    y: Tensor

    def columns(self, side: Side) -> Tensor:
        """R[n, k, 1]."""
        z = _arguments.rows_of_logits(side.z)
        e_y = one_hot(_arguments.labels(self.y, z, side.reads), z.shape[1])
        return e_y.to(z.dtype)[:, :, None]


def onehot(model: ModelOrLogits, x: Inputs, y: Tensor, **options: Unpack[Options]) -> Tensor:
    """Compute Onehot, ‖Jᵀe_y‖² = Σ_i J[y, i]², that is ‖JᵀR‖²_F with R = e_y.

    *Random onehot*, √m·e_c with c uniform on all m classes, is a law of probes:
    ``spectreg(model, x, probe="onehot", generator=g)``. Unlike this one it is unbiased for ‖J‖²_F.

    Parameters
    ----------
    model, x, options
        As in `frobreg`; there is no forward mode; the model returns logits (n, k).
    y : Tensor (n,)
        Labels in [0, m), of an integer dtype.

    Returns
    -------
    Tensor () or (n,)
        Without a factor ½ or m. In float32 for a float16 or bfloat16 network.

    Raises
    ------
    ValueError, TypeError, RuntimeError
        Bad input. Every message says what was expected and what to do.

    See Also
    --------
    gradreg_ref.onehot : the same number from an explicit Jacobian.

    References
    ----------
    Varga, Csiszárik, Zombori (arXiv:1712.09936), Onehot and Random onehot.
    """
    return evaluate(model, x, _Label(y), **options).penalty


class Onehot(Penalty):
    """`onehot` as a module that keeps its options: ``Onehot()(model, x, y)``."""

    R = _Label
