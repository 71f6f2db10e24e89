"""Laws of probes r with E[r rᵀ] = I; the table of `gradreg_ref.probes`."""

from collections.abc import Callable
from math import sqrt
from typing import Any

import jax
import jax.numpy as jnp

from gradreg_jax import arrays, checks
from gradreg_jax.products import Linearised

_Draw = Callable[[Any, int, int, int, Any], Any]


def _gaussian(key: Any, n: int, m: int, q: int, dtype: Any) -> Any:
    """N(0, I): independent standard normal entries."""
    return jax.random.normal(key, (n, m, q), dtype)


def _rademacher(key: Any, n: int, m: int, q: int, dtype: Any) -> Any:
    """±1 with probability ½ each, independent."""
    return jax.random.rademacher(key, (n, m, q), dtype)


def _sphere(key: Any, n: int, m: int, q: int, dtype: Any) -> Any:
    """√m · r / ‖r‖ with r ~ N(0, I)."""
    r = _gaussian(key, n, m, q, dtype)
    return sqrt(m) * r / jnp.sqrt((r * r).sum(axis=1, keepdims=True))


def _orthogonal(key: Any, n: int, m: int, q: int, dtype: Any) -> Any:
    """√m · Q, Q[m, q] Haar: the QR factor of a gaussian with diag(R) > 0 (Mezzadri 2007)."""
    if q > m:
        raise ValueError(f"expected num_probes <= {m} orthogonal probes, got {q}")
    Q, R = jnp.linalg.qr(_gaussian(key, n, m, q, dtype))
    return sqrt(m) * Q * jnp.sign(jnp.diagonal(R, axis1=1, axis2=2))[:, None, :]


def _frames(key: Any, n: int, m: int, q: int, dtype: Any) -> Any:
    """√m · columns of Haar matrices, q per example: one matrix for m // q consecutive examples."""
    few = min(n, m // q) if isinstance(n, int) else m // q  # of an exported n nothing is known
    group = max(1, few)  # more than m are refused below
    Q = _orthogonal(key, -(-n // group), m, group * q, dtype)
    return jnp.swapaxes(Q.reshape(-1, m, group, q), 1, 2).reshape(-1, m, q)[:n]


def _onehot(key: Any, n: int, m: int, q: int, dtype: Any) -> Any:
    """√m · e_c, c uniform on all m classes."""
    c = jax.random.randint(key, (n, q), 0, m)
    return sqrt(m) * jnp.swapaxes(jax.nn.one_hot(c, m, dtype=dtype), 1, 2)


LAWS: dict[str, _Draw] = {
    "gaussian": _gaussian,
    "rademacher": _rademacher,
    "sphere": _sphere,
    "orthogonal": _orthogonal,
    "frames": _frames,
    "onehot": _onehot,
}


def draw_probes(
    probe: str, n: int, m: int, num_probes: int = 1, *, key: Any, dtype: Any = jnp.float32
) -> Any:
    """Draw probes r[n, k, q] with E[r rᵀ] = I.

    Parameters
    ----------
    probe : {"gaussian", "rademacher", "sphere", "orthogonal", "frames", "onehot"}
        Law (distribution) of r.
    n, m, num_probes : int
        Number of examples (1 for a shared probe), of logits (forward mode: of inputs), of probes.
    key : jax.random key
        Draws the probes.
    dtype : dtype
        Dtype of the logits. Probes are drawn in float32 at least.

    Raises
    ------
    ValueError, TypeError
        Bad input. Every message says what was expected and what to do.
    """
    checks.choice("probe", probe, LAWS)
    n, m = checks.count("n", n), checks.count("m", m)
    q = checks.count("num_probes", num_probes)
    return _drawn(probe, n, m, q, key, arrays.dtype(dtype))


def _drawn(law: str, n: int, m: int, q: int, key: Any, dtype: Any) -> Any:
    """Draw in float32 at least; n may be a symbol of `jax.export`."""
    arrays.fitting("probes", (n, m, q), "draw fewer")
    drawn_in = jnp.float32 if dtype in arrays.HALF else dtype
    return LAWS[law](checks.key(key), n, m, q, drawn_in).astype(dtype)


def projection(
    at: Linearised,
    probes: Any,
    probe: str | None,
    num_probes: int | None,
    shared_probe: bool,
    key: Any,
) -> Any:
    """Return R = [r₁ … r_q] / √q of probes r[n, k, q] (r[1, k, q] if shared), given or drawn."""
    law = checks.choice("probe", "gaussian" if probe is None else probe, LAWS)
    checks.flag("shared_probe", shared_probe)
    n, (m, dtype) = at.output.shape[0], at.column
    if probes is not None:
        r = checks.probes(probes, n, m, shared_probe, dtype)
        q = r.shape[2] if num_probes is None else checks.count("num_probes", num_probes)
        if q != r.shape[2]:
            raise ValueError(
                f"expected probes with {q} columns, as num_probes says, got "
                f"{r.shape[2]}; leave num_probes out if you pass probes"
            )
        return r / sqrt(q)
    q = checks.count("num_probes", 1 if num_probes is None else num_probes)
    if q >= m:
        raise ValueError(
            f"expected num_probes < m = {m}, got {q}: m products give the exact "
            "value at the same cost and without noise; use frobreg (or jacreg without probes)"
        )
    size = 1 if shared_probe else n
    return _drawn(law, size, m, q, key, dtype) / sqrt(q)
