"""Numbers made from a vector v[n, i, q] of `variants`: squares, norms, singular values."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from gradreg_ref.losses import log_softmax, softmax
from gradreg_ref.penalties import Case
from gradreg_ref.typing import Array
from gradreg_verify.diagnosis.variants import VECTORS, Vector


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


def _norm(v: Array) -> Array:
    """‖v‖ of every example."""
    return np.sqrt(square(v))


def _batch_norm(v: Array) -> Array:
    """(Σ_b ‖v_b‖²)^½."""
    return np.sqrt(square(v).sum())


def _largest(v: Array) -> Array:
    """The largest ‖v_b‖² of the batch."""
    squares = square(v)
    return squares[squares.real.argmax()]


def _absolute(v: Array) -> Array:
    """Σ |v_i| of every example."""
    return (v * np.sign(v.real)).sum(axis=(1, 2))


def _singular(v: Array) -> Array:
    """σ_max of every example; its derivative is that between the singular vectors."""
    left, _, right = np.linalg.svd(v.real, full_matrices=False)
    return np.einsum("ni,niq,nq->n", left[:, :, 0], v, right[:, 0])


_NORM = "‖{}‖, the norm and not its square"
FORMS = (
    Form("‖{}‖²", square),
    Form("‖{}‖² with one factor detached", lambda v: np.einsum("niq,niq->n", v, v.real)),
    Form(_NORM, _norm),
    Form("(‖{}‖ − 1)²", lambda v: (_norm(v) - 1) ** 2),
    Form("(‖{}‖² − 1)²", lambda v: (square(v) - 1) ** 2),
    Form("(‖{}‖/B − 1)², the gradient of a batch mean", lambda v: (_norm(v) / len(v) - 1) ** 2),
    Form("max(‖{}‖ − 1, 0)²", lambda v: np.where(_norm(v).real > 1, _norm(v) - 1, 0) ** 2),
    Form("log(1 + ‖{}‖²)", lambda v: np.log1p(square(v))),
    Form("‖{}‖⁴, squared twice", lambda v: square(v) ** 2),
    Form(
        "‖Σ_b {}‖², summed over the batch before it is squared",
        lambda v: square(v.sum(axis=0, keepdims=True)),
        whole=True,
    ),
    Form("(Σ_b ‖{}‖²)^½, a norm over the whole batch", _batch_norm, whole=True),
    Form(
        "((Σ_b ‖{}‖²)^½ − 1)², with the norm over the whole batch",
        lambda v: (_batch_norm(v) - 1) ** 2,
        whole=True,
    ),
    Form("max_b ‖{}‖², the largest of the batch", _largest, whole=True),
    Form("Σ |{}|, absolute values", _absolute),
    Form("(Σ |{}|)², absolute values summed before they are squared", lambda v: _absolute(v) ** 2),
    Form("max |{}|², the largest entry squared", lambda v: (v * v).max(axis=(1, 2))),
    Form("σ²_max of {}, the largest singular value squared", lambda v: _singular(v) ** 2),
    Form("σ_max of {}, the largest singular value", _singular),
)


@dataclass(frozen=True)
class Variant:
    """A name and a number, of every example or of the whole batch.

    It is made from a case and probes; without probes, from a case and the shape of an input.
    """

    name: str
    of: Callable[[Case, Any], Array]
    whole: bool = False

    @property
    def random(self) -> bool:
        """Whether it has probes, as its name says."""
        return "ᵀr" in self.name


def _of_pixels(form: Form, vector: Vector, over: str) -> Variant:
    """The number that a form makes of each pixel's part of a vector; a vector is one pixel."""

    def of(c: Case, shape: tuple[int, ...]) -> Array:
        v = vector.at(c, None)
        parts = v.reshape(len(v), shape[0], -1, v.shape[2]).transpose(0, 2, 1, 3)
        values = form.of(parts.reshape(-1, shape[0], v.shape[2]))
        return values / (parts.shape[1] if over == "mean" else 1)

    text = form.text.format(f"{vector.name} at one pixel")
    return Variant(f"the {over} over pixels of {text}, with the norm over channels", of)


def _sum_of_squares(arrays: list[Array]) -> Array:
    """Σ over arrays and entries."""
    return np.asarray(sum((a * a).sum() for a in arrays))


def _trace(c: Case) -> Array:
    """Tr J of every example, where J is square; ValueError where not."""
    if c.J.shape[1] != c.J.shape[2]:
        raise ValueError("no trace")
    return np.einsum("nkk->n", c.J)


OTHERS = (
    Variant("tr J, the divergence", lambda c, _: _trace(c)),
    Variant("(tr J)²", lambda c, _: _trace(c) ** 2),
    Variant("Σ p log p", lambda c, _: (softmax(c.z) * log_softmax(c.z)).sum(axis=1)),
    Variant(
        "Σ p log p with p detached", lambda c, _: (softmax(c.z).real * log_softmax(c.z)).sum(axis=1)
    ),
    Variant("Σ‖W‖²_F", lambda c, _: _sum_of_squares(c.network.weights()), whole=True),
    Variant(
        "Σ‖θ‖², biases included", lambda c, _: _sum_of_squares([c.network.parameters()]), whole=True
    ),
    Variant(
        "Σ‖W‖²_F of matrices, filters left out",
        lambda c, _: _sum_of_squares([W for W in c.network.weights() if W.ndim == 2]),
        whole=True,
    ),
)


def _made_of(form: Form, vector: Vector) -> Variant:
    """The number that a form makes of a vector; the square of one may be a penalty."""
    title = f"{vector.penalty}, " if form.of is square and vector.penalty else ""
    name = title + form.text.format(vector.name)
    return Variant(name, lambda c, r: form.of(vector.at(c, r)), form.whole)


_AT_PIXELS = product(
    (form for form in FORMS if form.text in ("(‖{}‖ − 1)²", "max(‖{}‖ − 1, 0)²", _NORM)),
    (vector for vector in VECTORS if vector.name == "J" or vector.name.startswith("Jᵀ1")),
    ("mean", "sum"),
)
VARIANTS = (
    *(_made_of(form, vector) for form, vector in product(FORMS, VECTORS)),
    *(_of_pixels(form, vector, over) for form, vector, over in _AT_PIXELS),
    *OTHERS,
)
