"""What is made of a vector v[n, i, q] of `variants`: squares, norms, largest singular values."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from gradreg_ref.losses import log_softmax, softmax
from gradreg_ref.penalties import Case
from gradreg_ref.typing import Array


@dataclass(frozen=True)
class Form:
    """A number an example, or one of the whole batch.

    Parameters
    ----------
    text : str
        With {} for the vector.
    of : callable
        From the vectors of all examples.
    whole : bool
        Whether the number belongs to the whole batch.
    """

    text: str
    of: Callable[[Array], Array]
    whole: bool = False


def square(v: Array) -> Array:
    """‖v‖² of every example."""
    return np.einsum("niq,niq->n", v, v)


def norm(v: Array) -> Array:
    """‖v‖ of every example."""
    return np.sqrt(square(v))


def batch_sum(v: Array) -> Array:
    """‖Σ_b v_b‖²."""
    total = v.sum(axis=0)
    return np.einsum("iq,iq->", total, total)


def batch_norm(v: Array) -> Array:
    """(Σ_b ‖v_b‖²)^½."""
    return np.sqrt(square(v).sum())


def largest(v: Array) -> Array:
    """The largest ‖v_b‖² of the batch."""
    squares = square(v)
    return squares[squares.real.argmax()]


def singular(v: Array) -> Array:
    """σ_max of every example; its derivative is that between the singular vectors."""
    left, _, right = np.linalg.svd(v.real, full_matrices=False)
    return np.einsum("ni,niq,nq->n", left[:, :, 0], v, right[:, 0])


NUMBERS = (
    Form("‖{}‖²", square),
    Form("‖{}‖² with one factor detached", lambda v: np.einsum("niq,niq->n", v, v.real)),
    Form("‖{}‖, the norm and not its square", norm),
    Form("(‖{}‖ − 1)²", lambda v: (norm(v) - 1) ** 2),
    Form("‖{}‖⁴, squared twice", lambda v: square(v) ** 2),
    Form("‖Σ_b {}‖², summed over the batch before it is squared", batch_sum, whole=True),
    Form("(Σ_b ‖{}‖²)^½, a norm over the whole batch", batch_norm, whole=True),
    Form(
        "((Σ_b ‖{}‖²)^½ − 1)², with the norm over the whole batch",
        lambda v: (batch_norm(v) - 1) ** 2,
        whole=True,
    ),
    Form("max_b ‖{}‖², the largest of the batch", largest, whole=True),
    Form("Σ |{}|, absolute values", lambda v: (v * np.sign(v.real)).sum(axis=(1, 2))),
    Form("σ²_max of {}, the largest singular value squared", lambda v: singular(v) ** 2),
    Form("σ_max of {}, the largest singular value", singular),
)


@dataclass(frozen=True)
class Other:
    """A penalty that is no contraction of J."""

    name: str
    of: Callable[[Case], Array]
    whole: bool = False


OTHERS = (
    Other("Σ p log p", lambda c: (softmax(c.z) * log_softmax(c.z)).sum(axis=1)),
    Other(
        "Σ p log p with p detached",
        lambda c: (softmax(c.z).real * log_softmax(c.z)).sum(axis=1),
    ),
    Other("Σ‖W‖²_F", lambda c: sum_of_squares(c.network.weights()), whole=True),
    Other("Σ‖θ‖², biases included", lambda c: sum_of_squares([c.network.parameters()]), whole=True),
    Other(
        "Σ‖W‖²_F of matrices, filters left out",
        lambda c: sum_of_squares([W for W in c.network.weights() if W.ndim == 2]),
        whole=True,
    ),
)


def sum_of_squares(arrays: list[Array]) -> Array:
    """Σ over arrays and entries."""
    return np.asarray(sum((a * a).sum() for a in arrays))
