"""S2, S3, S10, S11, S12, S16–S18: every penalty is its formula, in value and parameter gradient."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from gradreg_ref.identify import identify
from gradreg_ref.losses import softmax, softmax_jacobian
from gradreg_ref.moments import gram
from gradreg_ref.networks import Activation, Layer, Residual
from gradreg_ref.verify.comparison import FLOOR, Broken, Target, agree, same, same_gradient
from gradreg_ref.verify.examples import Example


def exact_mse(e: Example) -> bool:
    """2 (z − y) / m is exact where m is a power of two, unless squares use up the 53 bits."""
    return e.exact and e.probes.shape[1] in (1, 2, 4, 8) and not squares(e.network.layers)


def squares(layers: tuple[Layer, ...]) -> bool:
    """Whether a layer squares its input, here or in the body of a residual sum."""
    return any(
        squares(layer.body) if isinstance(layer, Residual) else layer == Activation("square")
        for layer in layers
    )


def variants(e: Example) -> Iterator[tuple[str, dict[str, Any], bool]]:
    """Every penalty with every formula it has: name, options, whether its arithmetic is exact."""
    yield "frobreg", {}, e.exact
    yield "spectreg", {"probes": e.probes}, e.exact
    yield "onehot", {}, e.exact
    yield "doubleback", {"loss": "mean_squared_error"}, exact_mse(e)
    if e.probes.shape[1] > 1:
        yield "doubleback", {}, False
        yield "jacreg", {}, False
        yield "jacreg", {"probes": e.probes}, False
        yield "confidence_penalty", {}, False


def frobreg(target: Target, e: Example) -> float:
    """‖J‖²_F of the explicit Jacobian, and Σ_k of one vector-Jacobian product each."""
    error = agree(target, "frobreg", e, exact=e.exact)
    m = e.probes.shape[1]
    units = np.broadcast_to(np.eye(m), (len(e.x), m, m))
    rows = target.value("spectreg", e, probes=units, reduction="none") * m
    return max(
        error, same("Σ_k ‖Jᵀe_k‖²", rows, target.value("frobreg", e, reduction="none"), exact=False)
    )


def spectreg(target: Target, e: Example) -> float:
    """rᵀAr with A = JJᵀ: read off entry by entry, no constant, no linear part."""
    error = agree(target, "spectreg", e, probes=e.probes, exact=e.exact)
    one = e.rows(slice(0, 1))
    m = e.probes.shape[1]

    def f(r: Any) -> float:
        probes = np.asarray(r).reshape(1, m, 1)
        return float(target.value("spectreg", one, probes=probes, reduction="sum"))

    form = identify(f, m)
    A = gram(one.J)[0]
    scale = float(np.abs(A).max())
    return max(
        error,
        same("constant part", form.constant, 0.0, exact=e.exact, scale=scale),
        same("linear part", form.linear, np.zeros(m), exact=e.exact, scale=scale),
        same("A", form.A, A, exact=e.exact),
    )


def training_gradient(target: Target, e: Example) -> float:
    """∇_θ of every penalty along a direction, by complex step on the explicit formula."""
    return max(
        same_gradient(target, penalty, e, exact=exact, reduction=reduction, **options)
        for penalty, options, exact in variants(e)
        for reduction in ("sum", "mean", "none")
    )


def doubleback(target: Target, e: Example) -> float:
    """Value and gradient for both losses; Σ_k p_k DB(k) = tr(A S); DB <= 2 λ_max(A)."""
    error = agree(target, "doubleback", e, loss="mean_squared_error", exact=exact_mse(e))
    m = e.probes.shape[1]
    if m == 1:
        return error
    soft = replace(e, y=softmax(e.targets))
    error = max(error, *(agree(target, "doubleback", at, exact=False) for at in (e, soft)))
    p, S, A = softmax(e.z), softmax_jacobian(e.z), gram(e.J)
    by_class = np.stack([per_class(target, e, k) for k in range(m)], axis=1)
    bound = 2 * np.linalg.eigvalsh(A)[:, -1]
    if (by_class > bound[:, None] * (1 + 1e-9) + 1e-9).any():
        raise Broken(f"doubleback: expected at most 2 λ_max(A) = {bound}, got {by_class}")
    mean, trace = (p * by_class).sum(axis=1), np.einsum("nkl,nlk->n", A, S)
    cancelling = FLOOR * float(np.einsum("nkl,nlk->n", np.abs(A), np.abs(S)).max())
    return max(error, same("Σ_k p_k DB(k)", mean, trace, exact=False, scale=cancelling))


def per_class(target: Target, e: Example, k: int) -> Any:
    """DoubleBack of every example as if its label were k."""
    return target.value("doubleback", replace(e, y=np.full(len(e.x), k)), reduction="none")


def jacreg(target: Target, e: Example) -> float:
    """Exact and projected, value and gradient; tr(S A S) <= ‖J‖²_F / 4."""
    error = max(
        agree(target, "jacreg", e, exact=False),
        agree(target, "jacreg", e, probes=e.probes, exact=False),
    )
    values = target.value("jacreg", e, reduction="none")
    bound = target.value("frobreg", e, reduction="none") / 4
    if (values > bound * (1 + 1e-9) + 1e-9).any():
        raise Broken(f"jacreg: expected at most ‖J‖²_F / 4 = {bound}, got {values}")
    return error


def onehot(target: Target, e: Example) -> float:
    """‖Jᵀe_y‖², value and gradient; its sum over all labels is ‖J‖²_F."""
    return agree(target, "onehot", e, exact=e.exact)


def confidence_penalty(target: Target, e: Example) -> float:
    """Σ_k p_k log p_k, value and gradient."""
    return agree(target, "confidence_penalty", e, exact=False)


def weight_decay(target: Target, e: Example) -> float:
    """Σ ‖W‖²_F, value and gradient."""
    return agree(target, "weight_decay", e, exact=e.exact, reduction="sum")
