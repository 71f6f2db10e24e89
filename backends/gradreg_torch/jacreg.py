"""JacReg: the squared Frobenius norm of the Jacobian of the class probabilities."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Unpack

import torch
from torch import Tensor

from gradreg_torch import _arguments
from gradreg_torch._engine import Identity, Inputs, ModelOrLogits, Options, Side, evaluate
from gradreg_torch._engine.sums import at_least_single
from gradreg_torch.penalty import Penalty
from gradreg_torch.probes import Probes

_PROJECTED = (
    "expected num_probes >= 1 with probe, generator or shared_probe, which belong to the projected "
    "form, got num_probes=None; leave them out for the exact form"
)


@dataclass(frozen=True)
class _SoftmaxJacobian(Probes):
    """R = S = ∂p/∂z, or S [r₁ … r_q] / √q; S is never detached."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.exact and (self.generator is not None or self.probe is not None):
            raise ValueError(_PROJECTED)

    @property
    def exact(self) -> bool:
        """Whether all of S is contracted."""
        return self.probes is None and self.num_probes is None

    @property
    def draws(self) -> bool:  # type: ignore[override]
        """Whether the form is projected, and its probes are drawn."""
        return self.probes is None and not self.exact

    @property
    def same_for_all(self) -> bool:  # type: ignore[override]
        """The exact form has I for all examples, the projected form may share its probes."""
        return self.exact or self.shared_probe

    @property
    def averaged(self) -> bool:  # type: ignore[override]
        """Whether the columns are probes."""
        return not self.exact

    def columns(self, side: Side) -> Tensor:
        """I, or the probes; `factor` multiplies them by S."""
        if not self.exact:
            return super().columns(side)
        if self.shared_probe:  # a module may keep shared_probe for probes given at the call
            raise ValueError(_PROJECTED)
        return Identity().columns(side)

    def factor(self, output: Tensor) -> Callable[[Tensor], Tensor]:
        """r ↦ S r = p∘(r − ⟨p, r⟩), S = diag(p) − ppᵀ, without S itself.

        S 1 = 0, so r_c is taken off first, c the likeliest class: then ⟨p, r⟩ has no large term,
        and nothing cancels where p is nearly onehot.
        """
        z = at_least_single(_arguments.classes(output))
        p, c = z.softmax(dim=1), z.argmax(dim=1)[:, None]

        def S(columns: Tensor) -> Tensor:
            r = at_least_single(columns)
            r = r - r.gather(2, c.expand(r.shape[0], -1, 1))
            return p * (r - (p * r).sum(dim=2, keepdim=True))

        return S


def jacreg(
    model: ModelOrLogits,
    x: Inputs,
    *,
    probes: Tensor | None = None,
    probe: str | None = None,
    num_probes: int | None = None,
    shared_probe: bool = False,
    generator: torch.Generator | None = None,
    **options: Unpack[Options],
) -> Tensor:
    """Compute JacReg, ‖∂p/∂x‖²_F = ‖JᵀR‖²_F with R = S = ∂p/∂z = diag(p) − p pᵀ, or R = S r / √q.

    Forward mode computes ‖S J V‖²_F, where V is I, or has probes of the inputs divided by √q.

    S depends on the parameters through p and is never detached: it takes part in the gradient.

    Parameters
    ----------
    model, x, options
        As in `frobreg`; the model returns *logits* (n, k), not probabilities.
    probes, probe, shared_probe, generator
        As in `spectreg`, for the projected form.
    num_probes : int, optional
        None, the default, is the exact form: m vector-Jacobian products (i in forward mode).

    Returns
    -------
    Tensor () or (n,)
        Without a factor ½. In float32 for a float16 or bfloat16 network.

    Raises
    ------
    ValueError, TypeError, RuntimeError
        Bad input. Every message says what was expected and what to do.

    See Also
    --------
    gradreg_ref.jacreg : the same number from an explicit Jacobian.

    References
    ----------
    Sokolić, Giryes, Sapiro, Rodrigues, "Robust large margin deep neural networks" (2016);
    Varga, Csiszárik, Zombori (arXiv:1712.09936), JacReg.
    """
    R = _SoftmaxJacobian(probes, probe, num_probes, shared_probe, generator)
    return evaluate(model, x, R, **options).penalty


class JacReg(Penalty):
    """`jacreg` as a module that keeps its options: ``JacReg()(model, x)``."""

    R = _SoftmaxJacobian
