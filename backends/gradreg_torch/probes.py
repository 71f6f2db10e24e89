"""Laws of probes r with E[r rᵀ] = I, drawn on the device; the table of `gradreg_ref.probes`."""

from collections.abc import Callable
from math import sqrt

import torch
from torch import Tensor

from gradreg_torch import checks

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


def batch_probes(
    z: Tensor,
    probes: Tensor | None,
    probe: str,
    num_probes: int,
    shared_probe: bool,
    generator: torch.Generator | None,
) -> Tensor:
    """The probes of a batch, r[n, k, q] like the logits z[n, k]: those given, checked, or new."""
    n, m = z.shape
    if probes is not None:
        r = checks.probes(probes, z, shared_probe)
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
