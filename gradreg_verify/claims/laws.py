"""Values per example, and laws that need no reference."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from gradreg_ref.networks import Conv2d, Linear, Network
from gradreg_ref.penalties import PENALTIES
from gradreg_ref.typing import Array
from gradreg_verify.claims.comparison import in_any_order, same
from gradreg_verify.claims.target import Target
from gradreg_verify.examples import Example, Variant
from gradreg_verify.outcomes import Broken, NotAsked, NotHere, NotTestable

_Pairs = list[tuple[Variant, Variant]]  # old and new


def every_shape(target: Target, e: Example) -> Iterator[float]:
    """A finite number of the declared shape, on inputs of every shape; drawn probes included."""
    d = target.function().declaration
    target.require_representative(e)
    if d.probe is not None and e.m <= d.num_probes:
        raise NotHere("num_probes >= m may be refused")
    if PENALTIES[d.kind].softmax and e.m == 1:
        raise NotHere("one class")
    options = d.loss_option
    value = target.value(d.kind, e, seed=target.seed, reduction=d.reduction, **options)
    if not np.isfinite(value).all():
        raise Broken(f"expected a finite value, got {value}")
    yield 0.0


def each_alone(target: Target, e: Example) -> Iterator[float]:
    """A value of every example alone."""
    if target.declaration is not None and target.declaration.reduction != "none":
        raise NotTestable("it returns one number a batch")
    target.require_representative(e)
    for v in target.variants(e):
        what, limit = f"{v.penalty} of each example alone", in_any_order(e, v)
        together = target.value_of(v, e, reduction="none")
        yield same(what, together, _alone(target, e, v), exact=limit)


def sum_and_mean(target: Target, e: Example) -> Iterator[float]:
    """Sum and mean are those of the examples alone."""
    target.require_representative(e)
    for v in target.variants(e):
        limit, total = in_any_order(e, v), _alone(target, e, v).sum()
        for reduction, expected in (("sum", total), ("mean", total / len(e.x))):
            got = target.value_of(v, e, reduction=reduction)
            yield same(f"{v.penalty}, {reduction}", got, expected, exact=limit)


def _alone(target: Target, e: Example, variant: Variant) -> Array:
    """The values of all examples, each in a batch of its own."""
    rows = [slice(b, b + 1) for b in range(len(e.x))]
    return np.concatenate(
        [target.value_of(variant.rows(row), e.rows(row), reduction="none") for row in rows]
    )


def scaled_outputs(target: Target, e: Example) -> Iterator[float]:
    """Last layer × 2: SpectReg and FrobReg × 4."""
    return _times_four(target, e, e.scaled(2))


def scaled_inputs(target: Target, e: Example) -> Iterator[float]:
    """First weights × 2 at x / 2: the same logits, J × 2."""
    first, *rest = e.network.layers
    if not isinstance(first, Linear | Conv2d):
        raise NotHere("the first layer has no weights")
    doubled = e.with_network((replace(first, weight=2 * first.weight), *rest))
    return _times_four(target, e, replace(doubled, x=e.x / 2))


# Of degree 2 in J: R does not depend on the network.
_HOMOGENEOUS = tuple(
    row.name for row in PENALTIES.values() if row.of == "jacobian" and row.constant_R
)


def _times_four(target: Target, e: Example, doubled: Example) -> Iterator[float]:
    """Penalties of a doubled Jacobian."""
    kept = [(v, v) for v in target.variants(e) if v.penalty in _HOMOGENEOUS]
    if not kept:
        raise NotAsked(f"a law of {', '.join(_HOMOGENEOUS)}")
    return _related(target, "of 2J", e, doubled, kept, factor=4)


def _related(
    target: Target, what: str, e: Example, other: Example, pairs: _Pairs, factor: int = 1
) -> Iterator[float]:
    """The new variant at another example is `factor` times the old one at e."""
    for old, new in pairs:
        got = target.value_of(new, other, reduction=target.reduction)
        expected = factor * target.value_of(old, e, reduction=target.reduction)
        limit = in_any_order(other, new)
        yield same(f"{new.penalty} {what}", got, expected, exact=limit)


def permuted_batch(target: Target, e: Example) -> Iterator[float]:
    """Examples in reverse order: values in reverse order."""
    order = np.arange(len(e.x))[::-1]
    for v in target.variants(e):
        there = target.value_of(v, e, reduction="none")
        back = target.value_of(v.rows(order), e.rows(order), reduction="none")
        limit = in_any_order(e, v)
        yield same(f"{v.penalty} of the reversed batch", back, there[::-1], exact=limit)


def permuted_classes(target: Target, e: Example) -> Iterator[float]:
    """Classes moved up by one, with their labels, targets and probes: nothing changes."""
    *rest, last = e.network.layers
    m = e.m
    order = (np.arange(m) + 1) % m  # new class k is old class k + 1
    moved = replace(
        e.with_network((*rest, Linear(last.weight[order], last.bias[order]))),  # type: ignore[attr-defined]
        y=(e.y - 1) % m,
        targets=e.targets[:, order],
        probes=e.probes[:, order],
    )
    variants = []
    for v in target.variants(e):
        new = {}
        if "probes" in v.options and v.options.get("side") != "input":
            new["probes"] = v.options["probes"][:, order]
        if not PENALTIES[v.penalty].given_R:  # an R of the user's own need not be symmetric
            variants.append((v, v._replace(options=v.options | new)))
    return _related(target, "of permuted classes", e, moved, variants)


def shifted(target: Target, e: Example) -> Iterator[float]:
    """Adding a constant to all logits changes no penalty."""
    *rest, last = e.network.layers
    if not isinstance(last, Linear) or last.bias is None:
        raise NotHere("the last layer has no bias")
    moved = e.with_network((*rest, Linear(last.weight, last.bias + 2.0)))
    kept = [
        (v, v)
        for v in target.variants(e)
        if v.options.get("loss") != "mean_squared_error" and not PENALTIES[v.penalty].given_R
    ]
    return _related(target, "at z + 2", e, moved, kept)


def linear_model(target: Target, e: Example) -> Iterator[float]:
    """FrobReg of x ↦ Wx + b is ‖W‖²_F, its weight decay."""
    if target.declaration is not None and target.declaration.restricted:
        raise NotHere("its networks are of a shape declared")
    *_, last = e.network.layers
    weight: Array = last.weight  # type: ignore[attr-defined]
    x = np.resize(e.x, (len(e.x), weight.shape[1]))
    got = target.value("frobreg", replace(e, network=Network((last,)), x=x), reduction="mean")
    yield same("FrobReg of a linear model", got, (weight * weight).sum())
