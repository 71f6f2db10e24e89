"""S1 and S13: scope, and laws that need no reference."""

from dataclasses import replace

import numpy as np

from gradreg_ref.networks import Conv2d, Linear, Network
from gradreg_ref.verify.comparison import Target, same
from gradreg_ref.verify.examples import Example
from gradreg_ref.verify.formulas import variants


def scope(target: Target, e: Example) -> float:
    """A value of every example alone; sum and mean are the sum and mean of these."""
    errors = []
    for penalty, options, exact in variants(e):
        each = target.value(penalty, e, reduction="none", **options)
        alone = [single(target, penalty, e, b, **options) for b in range(len(e.x))]
        errors += [
            same(f"{penalty} of each example alone", each, np.concatenate(alone), exact=exact),
            same(
                f"{penalty}, sum",
                target.value(penalty, e, reduction="sum", **options),
                each.sum(),
                exact=exact,
            ),
            same(
                f"{penalty}, mean",
                target.value(penalty, e, reduction="mean", **options),
                each.sum() / len(e.x),
                exact=exact,
            ),
        ]
    return max(errors)


def single(target: Target, penalty: str, e: Example, b: int, **options: object) -> np.ndarray:
    """The value of example b in a batch of its own."""
    row = slice(b, b + 1)
    if "probes" in options:
        options["probes"] = e.probes[row]
    return target.value(penalty, e.rows(row), reduction="none", **options)


def metamorphic(target: Target, e: Example) -> float:
    """Scaling, permutations of batch and classes, shifted logits, and the linear model."""
    return max(
        scaled_outputs(target, e),
        scaled_inputs(target, e),
        permuted_batch(target, e),
        permuted_classes(target, e),
        linear_model(target, e),
        shifted(target, e),
    )


def scaled_outputs(target: Target, e: Example) -> float:
    """Last layer × 2: SpectReg and FrobReg × 4."""
    *rest, last = e.network.layers
    doubled = e.with_network((*rest, Linear(2 * last.weight, 2 * last.bias)))  # type: ignore[attr-defined]
    return times_four(target, e, doubled)


def scaled_inputs(target: Target, e: Example) -> float:
    """First weights × 2 at x / 2: the same logits, J × 2."""
    first, *rest = e.network.layers
    if not isinstance(first, Linear | Conv2d):
        return 0.0
    layers = (replace(first, weight=2 * first.weight), *rest)
    return times_four(target, e, replace(e, network=Network(layers), x=e.x / 2))


def times_four(target: Target, e: Example, doubled: Example) -> float:
    """Penalties of a doubled Jacobian."""
    return max(
        same(
            f"{penalty} of 2J",
            target.value(penalty, doubled, **options),
            4 * target.value(penalty, e, **options),
            exact=e.exact,
        )
        for penalty, options in (("frobreg", {}), ("spectreg", {"probes": e.probes}))
    )


def permuted_batch(target: Target, e: Example) -> float:
    """Examples in reverse order: values in reverse order."""
    backwards = e.rows(np.arange(len(e.x))[::-1])
    return max(
        same(
            f"{penalty} of the reversed batch",
            target.value(penalty, backwards, reduction="none", **reverse_probes(options)),
            target.value(penalty, e, reduction="none", **options)[::-1],
            exact=exact,
        )
        for penalty, options, exact in variants(e)
    )


def reverse_probes(options: dict[str, object]) -> dict[str, object]:
    """Per-example options in reverse order."""
    return {k: v[::-1] if isinstance(v, np.ndarray) else v for k, v in options.items()}


def permuted_classes(target: Target, e: Example) -> float:
    """Classes moved up by one, with their labels, targets and probes: nothing changes."""
    *rest, last = e.network.layers
    m = e.probes.shape[1]
    order = (np.arange(m) + 1) % m  # new class k is old class k + 1
    moved = replace(
        e.with_network((*rest, Linear(last.weight[order], last.bias[order]))),  # type: ignore[attr-defined]
        y=(e.y - 1) % m,
        targets=e.targets[:, order],
        probes=e.probes[:, order],
    )
    return max(
        same(
            f"{penalty} of permuted classes",
            target.value(penalty, moved, **new),
            target.value(penalty, e, **options),
            exact=False,
        )
        for (penalty, options, _), (_, new, _) in zip(variants(e), variants(moved), strict=True)
    )


def shifted(target: Target, e: Example) -> float:
    """Adding a constant to all logits changes no penalty."""
    *rest, last = e.network.layers
    if not isinstance(last, Linear) or last.bias is None:
        return 0.0
    moved = e.with_network((*rest, Linear(last.weight, last.bias + 2.0)))
    return max(
        same(
            f"{penalty} at z + 2",
            target.value(penalty, moved, **options),
            target.value(penalty, e, **options),
            exact=False,
        )
        for penalty, options, _ in variants(e)
        if options.get("loss") != "mean_squared_error"
    )


def linear_model(target: Target, e: Example) -> float:
    """FrobReg of x ↦ Wx + b is ‖W‖²_F, its weight decay."""
    *_, last = e.network.layers
    width: int = last.weight.shape[1]  # type: ignore[attr-defined]
    x = np.resize(e.x, (len(e.x), width))
    linear = replace(e, network=Network((last,)), x=x)
    return same(
        "FrobReg of a linear model",
        target.value("frobreg", linear, reduction="mean"),
        target.value("weight_decay", linear),
        exact=False,
    )
