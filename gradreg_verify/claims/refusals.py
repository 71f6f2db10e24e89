"""Bad input raises an error and never gives a number."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from gradreg_ref.penalties import PENALTIES
from gradreg_verify.claims.comparison import in_any_order, same
from gradreg_verify.claims.target import Target
from gradreg_verify.examples import Example, with_entry
from gradreg_verify.outcomes import Broken, NotAsked, NotTestable, raised

_Attempt = tuple[str, Example, dict[str, Any]]  # penalty, where, options
_UNDER_JIT = (
    "; under jit nothing can be raised: return "
    "jnp.where(((y >= 0) & (y < m)).all(), penalty, jnp.nan); NaN in the loss has the gradient 0"
)


def _attempts(e: Example) -> dict[str, _Attempt]:
    """Return what a backend must refuse, by what is wrong with it."""
    n, m, _ = e.probes.shape
    ones = np.ones((n, m, 1))
    flat = replace(e, targets=e.targets[:, 0])
    tries: dict[str, _Attempt] = {
        "NaN in x": ("frobreg", replace(e, x=with_entry(e.x, 0, np.nan)), {}),
        "infinity in x": ("frobreg", replace(e, x=with_entry(e.x, 0, np.inf)), {}),
        "integer x": ("frobreg", replace(e, x=np.ones(e.x.shape, int)), {}),
        "an empty batch": ("frobreg", e.rows(slice(0, 0)), {}),
        "an unknown reduction": ("frobreg", e, {"reduction": "average"}),
        "an unknown law": ("spectreg", e, {"probe": "uniform", "seed": 0}),
        "no randomness": ("spectreg", e, {}),
        "num_probes = 0": ("spectreg", e, {"num_probes": 0, "seed": 0}),
        "num_probes = m": ("spectreg", e, {"num_probes": m, "seed": 0}),
        "probes of m + 1 logits": ("spectreg", e, {"probes": np.ones((n, m + 1, 1))}),
        "probes of n + 1 examples": ("spectreg", e, {"probes": np.ones((n + 1, m, 1))}),
        "probes without their last axis": ("spectreg", e, {"probes": ones[:, :, 0]}),
        "integer probes": ("spectreg", e, {"probes": ones.astype(int)}),
        "label m": ("onehot", replace(e, y=np.full(n, m)), {}),
        "label -1": ("onehot", replace(e, y=np.full(n, -1)), {}),
        "float labels": ("onehot", replace(e, y=e.y.astype(float)), {}),
        "labels of shape (n, 1)": ("onehot", replace(e, y=e.y[:, None]), {}),
        "an unknown loss": ("doubleback", e, {"loss": "hinge"}),
        "targets of shape (n,)": ("doubleback", flat, {"loss": "mean_squared_error"}),
    }
    if m == 1:
        tries["cross-entropy of one logit"] = ("doubleback", e, {})
        tries["softmax of one logit"] = ("jacreg", e, {})
    return tries


def sentences(target: Target, e: Example) -> Iterator[float]:
    """A backend refuses everything in `_attempts`: ValueError or TypeError, with a sentence."""
    if target.declared is not None:
        raise NotTestable("other bad inputs: a function need not refuse them")
    if e.m > 1:
        target.require_representative(e)
    for what, (penalty, there, options) in _attempts(e).items():
        try:
            got = target.value(penalty, there, **options)
        except (ValueError, TypeError) as error:
            if "expected" not in raised(error):
                raise Broken(
                    f"{what}: refused without saying what was expected: {raised(error)}"
                ) from error
        else:
            raise Broken(f"{what}: expected an error, got {got}")
    yield 0.0


def labels_out_of_range(target: Target, e: Example) -> Iterator[float]:
    """A function may raise for label m, or give NaN, but no number."""
    d, (n, m, _) = target.function().declaration, e.probes.shape
    labelled = PENALTIES[d.kind].labels and d.loss == "cross_entropy"
    if not labelled or (m == 1 and d.softmax):
        raise NotAsked("it has no labels")
    try:
        got = target.value(d.kind, replace(e, y=np.full(n, m)), reduction=d.reduction)
    except Exception:  # any error is an answer
        got = np.array(np.nan)
    if np.isfinite(got).all():
        framework = target.backend.capabilities().framework
        remedy = _UNDER_JIT if framework.startswith("jax") else ""
        raise Broken(f"label {m} of {m} classes: expected an error or NaN, got {got}{remedy}")
    yield 0.0


def without_grad_mode(target: Target, e: Example) -> Iterator[float]:
    """Check for the right number or an error under no_grad, never a silent 0."""
    one = target.function()
    for variant in target.variants(e):
        expected = target.value_of(variant, e)
        try:
            got = target.value_of(variant, e, no_grad=True)
        except NotTestable:
            raise
        except Exception:  # any error is an answer
            yield 0.0
            continue
        what, limit = f"{one.declaration.kind} under no_grad", in_any_order(e, variant)
        yield same(what, got, expected, exact=limit)
