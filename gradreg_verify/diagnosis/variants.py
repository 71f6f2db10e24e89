"""What people compute instead: the vectors, for `diagnosis` to try.

A penalty of this field is a number made of a vector: Jᵀr, Jᵀ(p − y), a row of J … `VECTORS` has
those that are taken for one another, `forms.NUMBERS` what is made of them. Gradients are complex
steps, so *detached* is: the real part alone.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from gradreg_ref.losses import softmax, softmax_jacobian, target_probabilities
from gradreg_ref.penalties import Case
from gradreg_ref.typing import Array

Vector = Callable[[Case, Array], Array]


@dataclass(frozen=True)
class Known:
    """What a variant is made of: a name, and v[n, i, q] from a case and probes r[n, k, q].

    `penalty` is what its square is called.
    """

    name: str
    vector: Vector
    random: bool = False
    penalty: str = ""


def rows_of(S: Callable[[Case], Array]) -> Vector:
    """(S J)ᵀ, all rows."""
    return lambda c, _: np.einsum("nlk,nki->nil", S(c), c.J)


def projected(R: Callable[[Case, Array], Array]) -> Vector:
    """JᵀR."""
    return lambda c, r: np.einsum("nki,nkq->niq", c.J, R(c, r))


def identity(c: Case) -> Array:
    """I for every example."""
    return np.broadcast_to(np.eye(c.z.shape[1]), (*c.z.shape, c.z.shape[1]))


def without_last(c: Case) -> Array:
    """I without its last row."""
    return identity(c)[:, : max(1, c.z.shape[1] - 1)]


def e_y(c: Case) -> Array:
    """Onehot labels (n, k), or the probabilities given."""
    return target_probabilities(c.y, *c.z.shape)


def diag_p(c: Case) -> Array:
    """diag(p)."""
    return softmax(c.z)[:, :, None] * np.eye(c.z.shape[1])


def log_jacobian(c: Case) -> Array:
    """∂ log p/∂z = I − 1pᵀ."""
    return np.eye(c.z.shape[1]) - softmax(c.z)[:, None, :]


def unit(r: Array) -> Array:
    """r/‖r‖."""
    return r / np.sqrt((r * r).sum(axis=1, keepdims=True))


VECTORS = (
    Known("J", rows_of(identity), penalty="FrobReg"),
    Known("Jᵀr", projected(lambda _, r: per_probe(r)), True, "SpectReg"),
    Known(
        "Jᵀr, r on the sphere of radius √m",
        projected(lambda _, r: np.sqrt(r.shape[1]) * per_probe(unit(r))),
        True,
        "SpectReg",
    ),
    Known(
        "Jᵀ(p − y)",
        projected(lambda c, _: (softmax(c.z) - e_y(c))[:, :, None]),
        penalty="DoubleBack",
    ),
    Known(
        "Jᵀ(p − y), p constant",
        projected(lambda c, _: (softmax(c.z).real - e_y(c))[:, :, None]),
        penalty="DoubleBack with p detached",
    ),
    Known("∂p/∂x", rows_of(lambda c: softmax_jacobian(c.z)), penalty="JacReg"),
    Known(
        "∂p/∂x, p constant in diag p − ppᵀ",
        rows_of(lambda c: softmax_jacobian(c.z).real),
        penalty="JacReg with p detached",
    ),
    Known("Jᵀe_y", projected(lambda c, _: e_y(c)[:, :, None]), penalty="Onehot"),
    Known("Jᵀ1 (the gradient of the sum of the logits)", projected(lambda c, _: ones(c))),
    Known("J without its last class", rows_of(without_last)),
    Known(
        "∂p/∂x without its last class",
        rows_of(lambda c: without_last(c) @ softmax_jacobian(c.z)),
    ),
    Known("∂ log p/∂x", rows_of(log_jacobian)),
    Known("diag(p) J", rows_of(diag_p)),
    Known("(diag p + ppᵀ) J", rows_of(lambda c: 2 * diag_p(c) - softmax_jacobian(c.z))),
    Known("Jᵀ(p + y)", projected(lambda c, _: (softmax(c.z) + e_y(c))[:, :, None])),
    Known("Jᵀp", projected(lambda c, _: softmax(c.z)[:, :, None])),
    Known(
        "Jᵀ(p − y) with y counted from 1",
        projected(lambda c, _: (softmax(c.z) - np.roll(e_y(c), 1, axis=1))[:, :, None]),
    ),
    Known(
        "Jᵀe_c, c the predicted class",
        projected(lambda c, _: np.eye(c.z.shape[1])[c.z.real.argmax(1)][:, :, None]),
    ),
    Known(
        "∂p_y/∂x",
        projected(lambda c, _: np.einsum("nkl,nl->nk", softmax_jacobian(c.z), e_y(c))[:, :, None]),
    ),
    Known(
        "2Jᵀ(z − y)/m",
        projected(lambda c, _: mse(c)),
        penalty="DoubleBack of the mean squared error",
    ),
    Known(
        "(∂p/∂x)ᵀr",
        projected(lambda c, r: softmax_jacobian(c.z) @ per_probe(r)),
        True,
        "projected JacReg",
    ),
    Known(
        "(∂p/∂x)ᵀr, p constant in diag p − ppᵀ",
        projected(lambda c, r: softmax_jacobian(c.z).real @ per_probe(r)),
        True,
        "projected JacReg with p detached",
    ),
    Known(
        "(∂ log p/∂x)ᵀr",
        projected(lambda c, r: log_jacobian(c).transpose(0, 2, 1) @ per_probe(r)),
        True,
    ),
)


def per_probe(r: Array) -> Array:
    """r/√q, so that q probes are averaged."""
    return r / np.sqrt(r.shape[2])


def ones(c: Case) -> Array:
    """One column of ones."""
    return np.ones((*c.z.shape, 1))


def mse(c: Case) -> Array:
    """∂/∂z of the mean squared error; labels are no targets for it."""
    if np.shape(c.y) != c.z.shape:
        raise ValueError("labels")
    return 2 * (c.z - c.y)[:, :, None] / c.z.shape[1]
