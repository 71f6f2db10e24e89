"""Laws of probes r with E[r rᵀ] = I, drawn from a generator that is passed in.

==========  =======================================  ==========================================
law         r                                        why
==========  =======================================  ==========================================
gaussian    N(0, I)                                  the paper's
rademacher  independent signs ±1                     ‖r‖² = m: least noise for a full A
sphere      uniform on the sphere of radius √m       ‖r‖² = m, and rotation invariant
orthogonal  √m · q columns of a Haar orthogonal      q probes never measure the same direction;
            matrix, q <= m                           exact at q = m
frames      √m · columns of Haar orthogonal          orthogonal across the batch too: examples with
            matrices, dealt out over the batch       like A = JJᵀ cancel each other's noise
onehot      √m · e_c, c uniform on all m classes     "Random onehot"
==========  =======================================  ==========================================
"""

from collections.abc import Callable

import numpy as np

from gradreg_ref import checks
from gradreg_ref.typing import Array, Law, Rng


def gaussian(rng: Rng, n: int, m: int, q: int) -> Array:
    """N(0, I): independent standard normal entries."""
    return rng.standard_normal((n, m, q))


def rademacher(rng: Rng, n: int, m: int, q: int) -> Array:
    """±1 with probability ½ each, independent."""
    return 2.0 * rng.integers(0, 2, (n, m, q)) - 1.0


def sphere(rng: Rng, n: int, m: int, q: int) -> Array:
    """√m · g / ‖g‖ with g ~ N(0, I)."""
    g = rng.standard_normal((n, m, q))
    return np.sqrt(m) * g / np.sqrt((g * g).sum(axis=1, keepdims=True))


def orthogonal(rng: Rng, n: int, m: int, q: int) -> Array:
    """√m · Q, Q[m, q] Haar: the QR factor of a gaussian with diag(R) > 0 (Mezzadri 2007)."""
    if q > m:
        raise ValueError(f"expected num_probes <= {m} orthogonal probes, got {q}")
    Q, R = np.linalg.qr(rng.standard_normal((n, m, q)))
    signs = np.sign(np.einsum("nqq->nq", R))
    return np.sqrt(m) * np.einsum("nmq,nq->nmq", Q, signs)


def frames(rng: Rng, n: int, m: int, q: int) -> Array:
    """√m · columns of Haar matrices, q an example: one matrix serves m // q examples in a row.

    All probes of these examples are orthogonal, within an example and across. Each probe alone is
    uniform on the sphere, so means are those of `sphere`; docs/frames.md has the variance.
    """
    if q > m:
        raise ValueError(f"expected num_probes <= {m} orthogonal probes, got {q}")
    group = min(n, m // q)
    Q = orthogonal(rng, -(-n // group), m, group * q)
    dealt = Q.reshape(len(Q), m, group, q).transpose(0, 2, 1, 3)
    return dealt.reshape(-1, m, q)[:n]


def onehot(rng: Rng, n: int, m: int, q: int) -> Array:
    """√m · e_c, c uniform on all m classes."""
    c = rng.integers(0, m, (n, q))
    return np.sqrt(m) * np.eye(m)[c].transpose(0, 2, 1)


LAWS: dict[str, Callable[[Rng, int, int, int], Array]] = {
    "gaussian": gaussian,
    "rademacher": rademacher,
    "sphere": sphere,
    "orthogonal": orthogonal,
    "frames": frames,
    "onehot": onehot,
}


def draw(probe: Law, rng: Rng | None, n: int, m: int, num_probes: int = 1) -> Array:
    """Probes r[n, k, q] of the law named; not divided by √q."""
    checks.choice("probe", probe, LAWS)
    return LAWS[probe](checks.generator(rng), n, m, checks.count("num_probes", num_probes))


def batch_probes(
    n: int,
    m: int,
    probes: Array | None,
    probe: Law,
    num_probes: int,
    shared_probe: bool,
    rng: Rng | None,
) -> Array:
    """The probes of a batch, r[n, k, q]: those given, checked, or new ones."""
    if probes is not None:
        r = checks.probes(probes, n, m, shared_probe)
    else:
        if checks.count("num_probes", num_probes) >= m:
            raise ValueError(
                f"expected num_probes < m = {m}, got {num_probes}: m products give the exact "
                "value at the same cost and without noise; use frobreg (or jacreg without probes)"
            )
        r = draw(probe, rng, 1 if shared_probe else n, m, num_probes)
    return np.broadcast_to(r, (n, m, r.shape[2])) if shared_probe else r
