"""Laws of probes r with E[r rᵀ] = I, drawn from a generator that is passed in.

==========  =======================================  ==========================================
law         r                                        why
==========  =======================================  ==========================================
gaussian    N(0, I)                                  the paper's
rademacher  independent signs ±1                     r_k² = 1: no noise from the diagonal of A
sphere      uniform on the sphere of radius √m       ‖r‖² = m, and rotation invariant
orthogonal  √m · q columns of a Haar orthogonal      q probes never measure the same direction;
            matrix, q <= m                           exact at q = m
frames      √m · columns of Haar orthogonal          orthogonal across the batch too: the noise of
            matrices, one part per example           examples with similar A = JJᵀ cancels
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


def _frames(rng: Rng, n: int, m: int, q: int) -> Array:
    """√m · columns of Haar matrices, q per example: one matrix for m // q consecutive examples.

    All probes of these examples are orthogonal, within an example and across. Each probe alone is
    uniform on the sphere, so means are those of `sphere`; docs/frames.md has the variance.
    """
    group = max(1, min(n, m // q))
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
    "frames": _frames,
    "onehot": onehot,
}


def draw(probe: Law, rng: Rng | None, n: int, m: int, num_probes: int = 1) -> Array:
    """Draw probes r[n, k, q] of a law; they are not divided by √q.

    Parameters
    ----------
    probe : {"gaussian", "rademacher", "sphere", "orthogonal", "frames", "onehot"}
        The law of r, see the table above.
    rng : numpy.random.Generator
        Draws the probes, and changes its state.
    n, m : int
        Number of examples, and length of a probe.
    num_probes : int
        The number q of probes per example. "orthogonal" needs q <= m.

    Returns
    -------
    array (n, m, q)

    Raises
    ------
    ValueError, TypeError
        An unknown law, a number below 1, more orthogonal probes than m, no generator, more numbers
        than 2⁴⁰.

    Examples
    --------
    >>> import numpy as np
    >>> draw("rademacher", np.random.default_rng(0), 2, 3).shape
    (2, 3, 1)
    """
    checks.choice("probe", probe, LAWS)
    for name, value in (("n", n), ("m", m), ("num_probes", num_probes)):
        checks.count(name, value)
    checks.fitting("probes", (n, m, num_probes), "draw fewer")
    return LAWS[probe](checks.generator(rng), n, m, num_probes)


def columns(
    n: int,
    m: int,
    probes: Array | None,
    probe: Law | None,
    num_probes: int | None,
    shared_probe: bool,
    rng: Rng | None,
) -> Array:
    """Return R[n, k, q] = r/√q, from given probes or new ones; one set if shared."""
    shared = checks.flag("shared_probe", shared_probe)
    if probes is None:
        q = checks.count("num_probes", 1 if num_probes is None else num_probes)
        if q >= m:
            raise ValueError(
                f"expected num_probes < m = {m}, got {q}: m products give the exact "
                "value at the same cost and without noise; use frobreg (or jacreg without probes)"
            )
        law: Law = "gaussian" if probe is None else probe
        r = draw(law, rng, 1 if shared else n, m, q)
    else:
        drawing = {"probe": probe, "num_probes": num_probes, "rng": rng}
        ignored = [name for name, value in drawing.items() if value is not None]
        if ignored:
            raise ValueError(
                f"expected probes alone, got {' and '.join(ignored)} beside them, which only say "
                "how to draw probes; pass either probes, or how to draw them"
            )
        r = checks.probes(probes, n, m, shared)
    q = r.shape[2]
    return np.broadcast_to(r / q**0.5, (n, m, q))
