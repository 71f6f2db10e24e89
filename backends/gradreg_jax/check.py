"""A penalty on your own function, tried before it trains: `check_model`."""

from collections.abc import Callable
from dataclasses import replace
from sys import float_info
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradreg_jax import arrays, checks
from gradreg_jax.examples import depend_on_own, separating
from gradreg_jax.objective import options_for
from gradreg_jax.products import Linearised, Model, like
from gradreg_jax.report import LIMIT, ModelReport
from gradreg_jax.spectreg import spectreg
from gradreg_jax.trial import LARGE

_STEPS = 1e-8, 2.5e-9  # of every parameter's own size
_LONG_STEPS = 1e-4, 1e-3  # also move a function that computes in float32


def check_model(
    f: Model,
    params: Any,
    x: Any,
    y: Any = None,
    *,
    penalty: Callable[..., Any] = spectreg,
    key: Any = None,
    loss: str = "cross_entropy",
) -> ModelReport:
    """Check a penalty on your own function and batch before training, in float64.

    The check compares the penalty's parameter gradient g with differences of the penalty's value:
    ⟨g, δ⟩ with (P(θ + hδ) − P(θ − hδ)) / 2h along random directions δ. The differences use no
    second derivative, so they find a rule of `jax.custom_vjp` whose second derivative is wrong.

    Parameters
    ----------
    f, params, x
        As in `frobreg`; eight examples are enough.
    y : array, optional
        Labels, for a penalty that takes them.
    penalty, loss
        As in `objective`.
    key : jax.random key, optional
        Draws the probes; by default a fixed key for `spectreg`.

    Returns
    -------
    ModelReport
        ``report.ok`` for a test, ``print(report)`` to read.

    Raises
    ------
    ValueError, TypeError
        As the penalty itself; ValueError where differences cannot say whether the gradient is
        right, because `f` computes in a lower precision than float64, or does not run there.
    """
    if key is None and getattr(penalty, "func", penalty) is spectreg:
        key = jax.random.key(0)
    checks.no_functions(params)
    with jax.enable_x64(True):
        params, x = _in_float64(params), _in_float64(x)
        checks.trainable(params)
        _require_float64(f, params, x)
        options = options_for(penalty, y, key, loss)
        batch = getattr(penalty, "keywords", {}).get("batch")

        @jax.jit
        def P(params: Any) -> Any:
            at = replace(Linearised.at(f, params, x, batch=batch), tries=False)
            return jnp.mean(penalty(at, params, x, **options))

        value = P(params)
        # Behind a last layer or a gate of zeros all derivatives are zero, and no fault shows.
        if value == 0 or any(not leaf.any() for leaf in jax.tree.leaves(params)):
            params = _moved(params, _direction(params, 3), 0.1)
        beside, gradient = jax.jit(jax.value_and_grad(P))(params)
        paths = jax.tree_util.tree_flatten_with_path(gradient)[0]
        leaves = [(jax.tree_util.keystr(path), g) for path, g in paths]
        off = max(_off(P, params, gradient, _direction(params, seed)) for seed in (1, 2))
        wrong = [
            name
            for i, (name, _) in enumerate(leaves)
            if off > LIMIT and _off(P, params, gradient, _direction(params, 1, only=i)) > LIMIT
        ]
        untrained = [name for name, g in leaves if not g.any()]
        at = Linearised.at(f, params, x, batch=batch)
        z = at.output
        report = ModelReport(
            penalty=float(value),
            jacobian=_of_logits(f, params, x, at),
            off=off,
            wrong=tuple(wrong),
            untrained=tuple(untrained),
            alone=depend_on_own([z], jax.jit(at.pullback), separating(len(z)), batch) is not False,
            zero=not beside,
        )
        sure = report.ok or report.zero  # the zero is exact
        low = set() if sure else _dtypes(jax.make_jaxpr(_anew(f))(params, x).jaxpr) - {"float64"}
    if low:
        raise ValueError(
            "expected f to compute in float64 where params and x are float64, got "
            f"{', '.join(sorted(low))} inside, where rounding is larger than the differences that "
            "the gradient is compared with; for the check leave out astype and dtype="
        )
    return report


def _require_float64(f: Model, params: Any, x: Any) -> None:
    """Raise ValueError where JAX refuses to mix float64 with a state that f makes in float32."""
    try:
        jax.eval_shape(_anew(f), params, x)
    except TypeError as error:
        if "float64" not in str(error):
            raise
        raise ValueError(
            "expected f to run in float64, in which derivatives are compared, got a TypeError "
            f"({str(error).splitlines()[0].strip(', ')}): f makes a state of float32 itself, as "
            "recurrent cells of Flax do; for the check give the cell param_dtype=jnp.float64, "
            "nn.LSTMCell(8, param_dtype=jnp.float64) say, or make the state like x"
        ) from error


def _anew(f: Model) -> Model:
    """Return a new function equal to f: JAX keeps traces by function, and mixes their dtypes.

    After a trace of f itself in float64, integers of NumPy in f are of 64 bits in float32 too.
    """
    return lambda params, x: f(params, x)


def _dtypes(jaxpr: Any) -> set[str]:
    """The floating dtypes that a function computes in, also inside jit, scan or a custom rule."""
    found = {v.aval.dtype for eqn in jaxpr.eqns for v in eqn.outvars if hasattr(v.aval, "dtype")}
    names = {str(dtype) for dtype in found if jnp.issubdtype(dtype, jnp.floating)}
    for value in jax.tree.leaves([eqn.params for eqn in jaxpr.eqns], is_leaf=_has_equations):
        if _has_equations(value):
            names |= _dtypes(getattr(value, "jaxpr", value))
    return names


def _has_equations(value: Any) -> bool:
    """Whether a parameter of an operation is a jaxpr, closed or not."""
    return hasattr(getattr(value, "jaxpr", value), "eqns")


def _in_float64(tree: Any) -> Any:
    """The tree with its floating arrays in float64."""

    def one(a: Any) -> Any:
        a = arrays.array(a)
        return a.astype(jnp.float64) if jnp.issubdtype(a.dtype, jnp.floating) else a

    return jax.tree.map(one, tree, is_leaf=arrays.sparse)


@jax.jit
def _direction(params: Any, seed: int, only: int = -1) -> Any:
    """A random direction, each leaf of the size of its parameter; if asked, one leaf is not 0."""
    leaves, tree = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(seed), len(leaves))
    found = []
    for i, leaf in enumerate(leaves):
        size = jnp.sqrt(jnp.mean(leaf**2))
        noise = jax.random.normal(keys[i], leaf.shape, leaf.dtype) * jnp.where(size > 0, size, 1)
        found.append(jnp.where((only < 0) | (only == i), noise, 0))
    return jax.tree.unflatten(tree, found)


@jax.jit
def _moved(params: Any, delta: Any, h: float) -> Any:
    """θ + hδ."""
    return jax.tree.map(lambda p, d: p + h * d, params, delta)


@jax.jit
def _along(gradient: Any, delta: Any) -> tuple[Any, Any]:
    """⟨g, δ⟩, and the root of the sum of its squared terms."""
    terms = [g * d for g, d in zip(*map(jax.tree.leaves, (gradient, delta)), strict=True)]
    return sum(t.sum() for t in terms), jnp.sqrt(sum((t**2).sum() for t in terms))


def _off(P: Callable[[Any], Any], params: Any, gradient: Any, delta: Any) -> float:
    """|⟨g, δ⟩ − D| as a part of the derivative; the least of the steps, as one may meet a kink."""
    got, size = map(float, _along(gradient, delta))

    def at(h: float) -> float:
        return float(P(_moved(params, delta, h)))

    def off(h: float) -> float:
        expected = (at(h) - at(-h)) / (2 * h)
        rounding = 16 * float_info.epsilon * abs(at(0.0)) / h
        scale = max(abs(got), abs(expected), size / 10, rounding / LIMIT)
        return abs(got - expected) / scale if scale > 0 else 0.0

    least = min(map(off, _STEPS))
    return least if least <= LIMIT else min(least, *map(off, _LONG_STEPS))


def _of_logits(f: Model, params: Any, x: Any, at: Linearised) -> float:
    """Return how far ⟨Jᵀr, u⟩ is from the difference of ⟨r, f⟩ along u, for random r and u.

    r is taken small and large, because a rule may clip or rectify gradients.
    """
    r = like(jnp.asarray(np.random.default_rng(5).standard_normal(at.output.shape)), at.output)
    pullback, u = jax.jit(at.pullback), _direction(x, 4)
    along = jax.jit(lambda x, r: (r * f(params, x)).sum())  # vdot refuses explicit shards

    def off(r: Any) -> float:
        (product,) = pullback(r)
        return _off(lambda x: along(x, r), x, product, u)

    return max(off(r), off(LARGE * r))
