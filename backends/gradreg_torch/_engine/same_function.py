"""Do the passes beside x compute the function of the pass at x?

⟨r, J v⟩ by differences is ‖v‖² if v = Jᵀr is. It is not if the passes are of other functions (noise
that is not replayed, a state), or if the step does not fit: the logits bend within it, or their
rounding is as large.
"""

from collections.abc import Callable

from torch import Tensor

from gradreg_torch._engine.random import Random, same_state

_LIMIT = 0.1


def agrees(r_J_v: Tensor, square: Tensor, rounding: Tensor) -> bool:
    """Whether Σ ⟨r, J v⟩ is Σ ‖v‖² to a tenth."""
    return bool(_off(r_J_v, square) <= _LIMIT * square.sum() + 8 * rounding)


def require(r_J_v: Tensor, square: Tensor, rounding: Tensor, instead: Callable[[], str]) -> None:
    """Raise ValueError unless ⟨r, J v⟩ `agrees` with ‖v‖², and is larger than its rounding."""
    if rounding > _LIMIT * square.sum() > 0:
        raise ValueError(
            "expected a difference of logits that is larger than their rounding, got one of "
            f"which rounding may be {float(rounding / square.sum()):.0%}: logits or inputs "
            f"are large, or their Jacobian is small; compute in float64, or {instead()}"
        )
    if not agrees(r_J_v, square, rounding):
        raise ValueError(
            "expected the same function in every pass, got a difference of logits that is off "
            f"by {float(_off(r_J_v, square) / square.sum()):.1g} of ‖Jᵀr‖²: the model "
            "draws random numbers that torch's global generators do not make, changes a state "
            "of its own, has a backward pass that is not its derivative, or bends or rounds "
            "too much for the step (steep layers; inputs far from zero); "
            f"{instead()}, or draw noise with torch's global generator"
        )


def require_as_drawn(state: Random, drawn: Random, instead: Callable[[], str]) -> None:
    """Raise ValueError where a pass leaves another random state than the pass at x."""
    if not same_state(state, drawn):
        raise ValueError(
            "expected as many random numbers in every pass of finite differences, got a pass "
            "that leaves torch's global generator in another state: another thread draws from "
            "it, or the model draws as many numbers as its inputs say; draw from a generator "
            f"of its own in the other thread, or {instead()}"
        )


def _off(r_J_v: Tensor, square: Tensor) -> Tensor:
    """|Σ ⟨r, J v⟩ − Σ ‖v‖²|."""
    return (r_J_v.sum() - square.sum()).abs()
