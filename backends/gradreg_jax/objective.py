"""Loss, penalty and logits from one pass: the form to train with."""

from collections.abc import Callable
from functools import partial
from inspect import signature
from typing import Any, NamedTuple

from gradreg_jax import checks
from gradreg_jax.contract import contract
from gradreg_jax.doubleback import doubleback
from gradreg_jax.frobreg import frobreg
from gradreg_jax.jacreg import jacreg
from gradreg_jax.losses import LOSSES
from gradreg_jax.onehot import onehot
from gradreg_jax.products import Linearised, Model
from gradreg_jax.spectreg import spectreg

_PENALTIES = (frobreg, spectreg, doubleback, jacreg, onehot, contract)


class Objective(NamedTuple):
    """Loss, penalty and logits of one step: minimise ``loss + lam * penalty``."""

    loss: Any
    penalty: Any
    logits: Any


def objective(
    f: Model,
    params: Any,
    x: Any,
    y: Any,
    *,
    penalty: Callable[..., Any],
    key: Any = None,
    loss: str | Callable[[Any, Any], Any] = "cross_entropy",
    batch: Any = None,
) -> Objective:
    """Return (L̄, penalty, z): batch loss, penalty and logits from *one* pass.

    You multiply the penalty by λ: return ``o.loss + lam * o.penalty, o`` and differentiate by
    ``jax.grad(…, has_aux=True)``.

    Parameters
    ----------
    f, params, x, batch
        As in `frobreg`.
    y : array
        Labels or targets of the loss, and of the penalty if it takes labels.
    penalty : callable
        `frobreg`, `spectreg`, `doubleback`, `jacreg`, `onehot` or `contract`; set options by
        `functools.partial`: ``partial(spectreg, probe="sphere")``, ``partial(contract, R=R)``.
    key : jax.random key, optional
        Draws the probes of a penalty that has some.
    loss : {"cross_entropy", "mean_squared_error"} or callable
        (logits, y) ↦ a scalar; by name, the mean over the batch. A `doubleback` without ``loss=``
        uses the loss of the objective, which must then be given by name.

    Returns
    -------
    Objective
        Named tuple (loss, penalty, logits).

    Raises
    ------
    ValueError, TypeError
        Bad input. Every message says what was expected and what to do.
    """
    options = options_for(penalty, y, key, loss)
    at = Linearised.at(f, params, x, batch=batch)
    return Objective(_value(loss, at, y), penalty(at, params, x, **options), at.output)


def _value(loss: str | Callable[[Any, Any], Any], at: Linearised, y: Any) -> Any:
    """Compute the loss and check that it is a scalar."""
    if not callable(loss):
        return LOSSES[checks.choice("loss", loss, LOSSES)][0](at, y).mean()
    got = loss(at.output, y)
    if getattr(got, "shape", None) != ():
        raise ValueError(
            f"expected loss(logits, y) to return a scalar, got {getattr(got, 'shape', got)!r:.60}; "
            "take its mean"
        )
    return got


def options_for(penalty: Any, y: Any, key: Any, loss: Any) -> dict[str, Any]:
    """Select the options among y, key and loss that the penalty takes and does not have yet."""
    function, args, bound = penalty, (), {}
    if isinstance(penalty, partial):
        function, args, bound = penalty.func, penalty.args, penalty.keywords
    if not callable(function) or function not in _PENALTIES or args:
        names = ", ".join(known.__name__ for known in _PENALTIES)
        raise TypeError(
            f"expected penalty to be one of {names}, or functools.partial of one with options by "
            f"name, got {penalty!r:.60}; add other penalties to the loss yourself"
        )
    takes = signature(function).parameters.keys() - bound.keys()
    if "R" in takes:
        raise TypeError("expected contract with an R; pass penalty=partial(contract, R=...)")
    if "loss" in takes and not isinstance(loss, str):
        raise ValueError(
            "expected doubleback with its own loss=, got only the function loss= of objective, "
            "which returns a batch mean; pass penalty=partial(doubleback, loss='cross_entropy')"
        )
    given = {"y": y, "loss": loss} | ({} if key is None else {"key": key})
    return {name: given[name] for name in given if name in takes}
