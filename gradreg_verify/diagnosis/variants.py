"""Vectors from which people make wrong penalties, for `diagnosis` to try.

A penalty of this field is a number made of a vector JᵀM: Jᵀr, Jᵀ(p − y), a row of J … `VECTORS`
has those that are taken for one another, `forms.VARIANTS` what is made of them. Gradients are
complex steps, so *detached* is: the real part alone.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradreg_ref.losses import softmax, softmax_jacobian, target_probabilities
from gradreg_ref.penalties import Case
from gradreg_ref.typing import Array


@dataclass(frozen=True)
class Vector:
    """JᵀM, a vector v[n, i, q].

    Parameters
    ----------
    name : str
        With its probes as r.
    M : callable
        M[n, k, q], or one column M[n, k], from a case and probes r[n, k, q].
    penalty : str
        What the square of the vector is called.
    """

    name: str
    M: Callable[[Case, Any], Array]
    penalty: str = ""

    def at(self, c: Case, r: Array | None) -> Array:
        """v[n, i, q]."""
        M = self.M(c, r)
        return np.einsum("nki,nkq->niq", c.J, M if M.ndim == 3 else M[:, :, None])


def _identity(c: Case) -> Array:
    """I for every example."""
    return np.broadcast_to(np.eye(c.z.shape[1]), (*c.z.shape, c.z.shape[1]))


def _without_last(M: Array) -> Array:
    """M without its last column."""
    return M[:, :, : max(1, M.shape[2] - 1)]


def _e_y(c: Case) -> Array:
    """Onehot labels (n, k), or the probabilities given."""
    return target_probabilities(c.y, *c.z.shape)


def _diag_p(c: Case) -> Array:
    """diag(p)."""
    return softmax(c.z)[:, :, None] * _identity(c)


def _sigmoid(z: Array) -> Array:
    """1/(1 + e^−z), with a derivative by complex step."""
    return (1 + np.tanh(z / 2)) / 2


def _log_jacobian(c: Case) -> Array:
    """(∂ log p/∂z)ᵀ = I − p1ᵀ."""
    return _identity(c) - softmax(c.z)[:, :, None]


def _sphere(r: Array) -> Array:
    """√m r/‖r‖."""
    return np.sqrt(r.shape[1]) * r / np.sqrt((r * r).sum(axis=1, keepdims=True))


def per_probe(r: Array) -> Array:
    """r/√q, so that q probes are averaged."""
    return r / np.sqrt(r.shape[2])


def _mse(c: Case) -> Array:
    """∂/∂z of the mean squared error; labels are no targets for it."""
    if np.shape(c.y) != c.z.shape:
        raise ValueError("labels")
    return 2 * (c.z - c.y) / c.z.shape[1]


VECTORS = (
    Vector("J", lambda c, _: _identity(c), "FrobReg"),
    Vector("Jᵀr", lambda _, r: per_probe(r), "SpectReg"),
    Vector("Jᵀr, r on the sphere of radius √m", lambda _, r: per_probe(_sphere(r)), "SpectReg"),
    Vector("Jᵀ(p − y)", lambda c, _: softmax(c.z) - _e_y(c), "DoubleBack"),
    Vector(
        "Jᵀ(p − y), p constant",
        lambda c, _: softmax(c.z).real - _e_y(c),
        "DoubleBack with p detached",
    ),
    Vector("∂p/∂x", lambda c, _: softmax_jacobian(c.z), "JacReg"),
    Vector(
        "∂p/∂x, p constant in diag p − ppᵀ",
        lambda c, _: softmax_jacobian(c.z).real,
        "JacReg with p detached",
    ),
    Vector("Jᵀe_y", lambda c, _: _e_y(c), "Onehot"),
    Vector("Jᵀ1 (the gradient of the sum of the logits)", lambda c, _: np.ones(c.z.shape)),
    Vector("J without its last class", lambda c, _: _without_last(_identity(c))),
    Vector("∂p/∂x without its last class", lambda c, _: _without_last(softmax_jacobian(c.z))),
    Vector("∂ log p/∂x", lambda c, _: _log_jacobian(c)),
    Vector("diag(p) J", lambda c, _: _diag_p(c)),
    Vector("(diag p + ppᵀ) J", lambda c, _: 2 * _diag_p(c) - softmax_jacobian(c.z)),
    Vector("Jᵀ(p + y)", lambda c, _: softmax(c.z) + _e_y(c)),
    Vector("Jᵀp", lambda c, _: softmax(c.z)),
    Vector("Jᵀz (the gradient of ½‖z‖²)", lambda c, _: c.z),
    Vector("Jᵀ(1 − mp) (the gradient of Σ log p)", lambda c, _: 1 - c.z.shape[1] * softmax(c.z)),
    Vector("Jᵀ(σ(z) − y), σ the sigmoid of a logit", lambda c, _: _sigmoid(c.z) - _e_y(c)),
    Vector(
        "Jᵀ(p − y) with y counted from 1", lambda c, _: softmax(c.z) - np.roll(_e_y(c), 1, axis=1)
    ),
    Vector(
        "Jᵀe_c, c the predicted class", lambda c, _: np.eye(c.z.shape[1])[c.z.real.argmax(axis=1)]
    ),
    Vector(
        "Jᵀ(p − e_c), c the predicted class",
        lambda c, _: softmax(c.z) - np.eye(c.z.shape[1])[c.z.real.argmax(axis=1)],
    ),
    Vector(
        "Jᵀ(p − y) with y smoothed by 0.1",
        lambda c, _: softmax(c.z) - 0.9 * _e_y(c) - 0.1 / c.z.shape[1],
    ),
    Vector("∂p_y/∂x", lambda c, _: np.einsum("nkl,nl->nk", softmax_jacobian(c.z), _e_y(c))),
    Vector("2Jᵀ(z − y)/m", lambda c, _: _mse(c), "DoubleBack of the mean squared error"),
    Vector("(∂p/∂x)ᵀr", lambda c, r: softmax_jacobian(c.z) @ per_probe(r), "projected JacReg"),
    Vector(
        "(∂p/∂x)ᵀr, p constant in diag p − ppᵀ",
        lambda c, r: softmax_jacobian(c.z).real @ per_probe(r),
        "projected JacReg with p detached",
    ),
    Vector("(∂ log p/∂x)ᵀr", lambda c, r: _log_jacobian(c) @ per_probe(r)),
)
