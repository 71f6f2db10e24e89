"""Every penalty is its formula, in value and parameter gradient."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from gradreg_ref.identify import identify
from gradreg_ref.losses import softmax, softmax_jacobian
from gradreg_ref.moments import gram
from gradreg_ref.networks.network import trained
from gradreg_verify.claims import reference
from gradreg_verify.claims.comparison import (
    FLOOR,
    agree,
    direction_for,
    in_any_order,
    same,
    same_gradient,
)
from gradreg_verify.claims.target import Target
from gradreg_verify.examples import Example, Variant
from gradreg_verify.outcomes import Broken, NotAsked, NotHere, said
from gradreg_verify.subject.suited import sure, unusual


def formula_of(penalty: str) -> Any:
    """The check that every variant of a penalty agrees with the reference."""

    def check(target: Target, e: Example) -> Iterator[float]:
        yield from (agree(target, e, v) for v in target.variants(e) if v.penalty == penalty)

    check.__name__, check.__doc__ = f"formula of {penalty}", f"Value and gradient of {penalty}."
    return check


def unit_probes(target: Target, e: Example) -> Iterator[float]:
    """FrobReg is Σ_k of SpectReg at e_k."""
    rows = target.estimates(e, np.eye(e.m)).sum(axis=0)
    yield same("Σ_k ‖Jᵀe_k‖²", rows, target.value("frobreg", e, reduction="none"))


def quadratic_form(target: Target, e: Example) -> Iterator[float]:
    """rᵀAr with A = JJᵀ: read off entry by entry, no constant, no linear part."""
    one, m = target.with_values(e), target.length(e)
    target.require_few((m + 1) * (m + 2) // 2)
    form = identify(lambda points: target.estimates(one, points), m)
    A = gram(one.J, target.side)
    scale = float(np.abs(A).max())
    # Each number is made from at most four values, at probes with entries −1, 0 and 1.
    ones = {"probes": np.ones((len(one.x), m, 1)), "reduction": "none"}
    at_ones = Variant("spectreg", target.sided(ones), e.exact)
    limit = e.exact and 4 * in_any_order(one, at_ones)
    yield same("constant part", form.constant, 0 * form.constant, exact=limit, scale=scale)
    yield same("linear part", form.linear, 0 * form.linear, exact=limit, scale=scale)
    yield same("A", form.A, A, exact=limit)


def training_gradient(target: Target, e: Example) -> Iterator[float]:
    """∇_θ of every penalty along a direction, by complex step on the explicit formula."""
    every = target.representative(e)
    reductions = ("sum", "mean", "none") if every else (target.reduction,)
    for v in target.variants(e):
        for reduction in reductions:
            yield same_gradient(target, e, v, reduction)


def in_training_mode(target: Target, e: Example) -> Iterator[float]:
    """The same value and gradient when the model is in training mode (and has no batch norm)."""
    target.function()
    if e.batch_norm:
        raise NotHere("batch norm in training mode is another function")
    with said("in training mode"):
        yield from (agree(target, e, v, training=True) for v in target.variants(e))


def at_inputs_with_a_gradient(target: Target, e: Example) -> Iterator[float]:
    """The same value and gradient where x requires a gradient already."""
    target.function()
    with said("where x requires a gradient"):
        yield from (agree(target, e, v, requires_grad=True) for v in target.variants(e))


def where_a_layer_is_frozen(target: Target, e: Example) -> Iterator[float]:
    """The same gradient in the other parameters where the first weight requires none."""
    target.function()
    target.require_representative(e)
    if len(e.network.weights()) < 2:
        raise NotHere("one layer, without which nothing is trained")
    direction = direction_for(e)
    direction[: trained(e.network.layers)[0].size] = 0
    with said("where the first weight requires no gradient"):
        for v in target.variants(e):
            yield same_gradient(target, e, v, target.reduction, direction, frozen=True)


def unusual_shapes(target: Target, e: Example) -> Iterator[float]:
    """The formula in a batch of 307 with rows that repeat, of 131 logits of inputs of rank 3, …"""
    target.function()
    return _at_others(target, e, unusual())


def where_sure(penalty: str) -> Any:
    """The check that a penalty is its formula where the network is sure of a class."""

    def check(target: Target, e: Example) -> Iterator[float]:
        return _at_others(target, e, sure(penalty), penalty)

    check.__name__, check.__doc__ = "where sure", f"{penalty} where the network is sure of a class."
    return check


def _at_others(
    target: Target, e: Example, others: Iterable[Example], penalty: str | None = None
) -> Iterator[float]:
    """The formula at other examples than the bundled ones, asked once."""
    target.require_asked_once(e)
    for other in others:
        variants = [v for v in target.variants(other) if penalty in (None, v.penalty)]
        with said(str(other)):
            yield from (agree(target, other, v) for v in variants)


def all_classes(target: Target, e: Example) -> Iterator[float]:
    """Σ_k p_k DB(k) = tr(A S); DB <= 2 λ_max(A)."""
    m = e.m
    if m == 1:
        raise NotHere("one class")
    p, S, A = softmax(e.z), softmax_jacobian(e.z), gram(e.J)
    labelled = [replace(e, y=np.full(len(e.x), k)) for k in range(m)]
    by_class = np.stack(
        [target.value("doubleback", one, reduction="none") for one in labelled], axis=1
    )
    bound = 2 * np.linalg.eigvalsh(A)[:, -1]
    if (by_class > bound[:, None] * (1 + 1e-9) + 1e-9).any():
        raise Broken(f"doubleback: expected at most 2 λ_max(A) = {bound}, got {by_class}")
    mean, trace = (p * by_class).sum(axis=1), np.einsum("nkl,nlk->n", A, S)
    cancelling = FLOOR * float(np.einsum("nkl,nlk->n", np.abs(A), np.abs(S)).max())
    yield same("Σ_k p_k DB(k)", mean, trace, scale=cancelling)


def class_probabilities(target: Target, e: Example) -> Iterator[float]:
    """Labels may be probabilities (n, k)."""
    if target.declared is not None:
        raise NotAsked("asked of backends")
    target.require_representative(e)
    yield agree(target, replace(e, y=softmax(e.targets)), Variant("doubleback", {}, False))


def quarter(target: Target, e: Example) -> Iterator[float]:
    """tr(S A S) <= ‖J‖²_F / 4."""
    if target.declaration is not None and target.declaration.probe is not None:
        raise NotAsked("a bound of the exact form")
    values = target.value("jacreg", e, reduction="none")
    bound = reference.value("frobreg", e, reduction="none") / 4
    if (values > bound * (1 + 1e-9) + 1e-9).any():
        raise Broken(f"jacreg: expected at most ‖J‖²_F / 4 = {bound}, got {values}")
    yield 0.0


def weight_decay(target: Target, e: Example) -> Iterator[float]:
    """Σ ‖W‖²_F, value and gradient."""
    yield agree(target, e, Variant("weight_decay", {}, e.exact))
