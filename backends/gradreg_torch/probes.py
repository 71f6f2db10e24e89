"""Laws of probes r with E[r rᵀ] = I, drawn on the device; the table of `gradreg_ref.probes`."""

from collections.abc import Callable
from math import sqrt

import torch
from torch import Tensor

from gradreg_torch import checks
from gradreg_torch.contraction import side
from gradreg_torch.forward_pass import ForwardPass

Draw = Callable[[torch.Generator, int, int, int], Tensor]


def gaussian(g: torch.Generator, n: int, m: int, q: int) -> Tensor:
    """N(0, I): independent standard normal entries."""
    return torch.randn(n, m, q, generator=g, device=g.device, dtype=torch.float64)


def rademacher(g: torch.Generator, n: int, m: int, q: int) -> Tensor:
    """±1 with probability ½ each, independent."""
    return 2 * torch.randint(0, 2, (n, m, q), generator=g, device=g.device).double() - 1


def sphere(g: torch.Generator, n: int, m: int, q: int) -> Tensor:
    """√m · r / ‖r‖ with r ~ N(0, I)."""
    r = gaussian(g, n, m, q)
    return sqrt(m) * r / r.square().sum(dim=1, keepdim=True).sqrt()


def orthogonal(g: torch.Generator, n: int, m: int, q: int) -> Tensor:
    """√m · Q, Q[m, q] Haar: the QR factor of a gaussian with diag(R) > 0 (Mezzadri 2007)."""
    if q > m:
        raise ValueError(f"expected num_probes <= {m} orthogonal probes, got {q}")
    Q, R = torch.linalg.qr(gaussian(g, n, m, q))
    return sqrt(m) * Q * R.diagonal(dim1=1, dim2=2).sign()[:, None, :]


def onehot(g: torch.Generator, n: int, m: int, q: int) -> Tensor:
    """√m · e_c, c uniform on all m classes."""
    c = torch.randint(0, m, (n, q), generator=g, device=g.device)
    return sqrt(m) * torch.nn.functional.one_hot(c, m).transpose(1, 2).double()


LAWS: dict[str, Draw] = {
    "gaussian": gaussian,
    "rademacher": rademacher,
    "sphere": sphere,
    "orthogonal": orthogonal,
    "onehot": onehot,
}


def draw_probes(
    probe: str,
    n: int,
    m: int,
    num_probes: int = 1,
    *,
    generator: torch.Generator,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Probes r[n, k, q] with E[r rᵀ] = I on the device of the generator, to pass as ``probes=``.

    Parameters
    ----------
    probe : {"gaussian", "rademacher", "sphere", "orthogonal", "onehot"}
        Law of r.
    n, m : int
        Examples (1 for a shared probe) and logits, or input coordinates in forward mode.
    num_probes : int
        How many, q.
    generator : torch.Generator
        Randomness is an argument.
    dtype : torch.dtype
        That of the logits (of the inputs in forward mode).
    """
    checks.choice("probe", probe, LAWS)
    for name, value in (("n", n), ("m", m), ("num_probes", num_probes)):
        checks.count(name, value)
    if not isinstance(generator, torch.Generator):
        raise TypeError(f"expected generator=torch.Generator(device), got {generator!r}")
    return LAWS[probe](generator, n, m, num_probes).to(dtype)


def batch_probes(
    f: ForwardPass,
    probes: Tensor | None,
    probe: str,
    num_probes: int,
    shared_probe: bool,
    generator: torch.Generator | None,
) -> Tensor:
    """The probes r[n, k, q] of a batch, of m = k coordinates: those given, checked, or new."""
    if shared_probe:
        f.same_for_all()
    m = side(f)
    z = f.example if f.mode == "forward" else f.logits
    n = z.shape[0]
    if probes is not None:
        r = checks.probes(probes, z, m, shared_probe)
    else:
        checks.choice("probe", probe, LAWS)
        if checks.count("num_probes", num_probes) >= m:
            raise ValueError(
                f"expected num_probes < m = {m}, got {num_probes}: m products give the exact "
                "value at the same cost and without noise; use frobreg (or jacreg without probes)"
            )
        g = checks.generator(generator, z)
        r = LAWS[probe](g, 1 if shared_probe else n, m, num_probes).to(z.dtype)
    return r.expand(n, m, r.shape[2])
