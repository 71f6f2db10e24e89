"""Laws of probes r with E[r rᵀ] = I, drawn on the device; the table of `gradreg_ref.probes`."""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from math import sqrt
from typing import Any, ClassVar

import torch
from torch import Tensor

from gradreg_torch._arguments import same_device
from gradreg_torch._engine import Contraction, Side, checks, distributed
from gradreg_torch._engine.float64 import in_float64, widest

_Draw = Callable[[torch.Generator, int, int, int], Tensor]


def _gaussian(g: torch.Generator, n: int, m: int, q: int) -> Tensor:
    """N(0, I): independent standard normal entries."""
    dtype = widest(g.device)
    return torch.randn(n, m, q, generator=g, device=g.device, dtype=dtype)


def _rademacher(g: torch.Generator, n: int, m: int, q: int) -> Tensor:
    """±1 with probability ½ each, independent."""
    coins = torch.randint(0, 2, (n, m, q), generator=g, device=g.device)
    return 2 * coins.to(widest(g.device)) - 1


def _sphere(g: torch.Generator, n: int, m: int, q: int) -> Tensor:
    """√m · r / ‖r‖ with r ~ N(0, I)."""
    r = _gaussian(g, n, m, q)
    return sqrt(m) * r / r.square().sum(dim=1, keepdim=True).sqrt()


def _orthogonal(g: torch.Generator, n: int, m: int, q: int) -> Tensor:
    """√m · Q, Q[m, q] Haar: the QR factor of a gaussian with diag(R) > 0 (Mezzadri 2007)."""
    if q > m:
        raise ValueError(f"expected num_probes <= {m} orthogonal probes, got {q}")
    G = _gaussian(g, n, m, q)
    Q, R = torch.linalg.qr(in_float64(G))
    return (sqrt(m) * Q * R.diagonal(dim1=1, dim2=2).sign()[:, None, :]).to(G)


def _frames(g: torch.Generator, n: int, m: int, q: int) -> Tensor:
    """√m · columns of Haar matrices, q an example: one matrix serves m // q examples in a row."""
    group = max(1, min(n, m // q))  # more than m are refused below
    Q = _orthogonal(g, -(-n // group), m, group * q)
    return Q.reshape(-1, m, group, q).transpose(1, 2).reshape(-1, m, q)[:n]


def _onehot(g: torch.Generator, n: int, m: int, q: int) -> Tensor:
    """√m · e_c, c uniform on all m classes."""
    c = torch.randint(0, m, (n, q), generator=g, device=g.device)
    return sqrt(m) * torch.nn.functional.one_hot(c, m).transpose(1, 2).to(widest(g.device))


LAWS: dict[str, _Draw] = {
    "gaussian": _gaussian,
    "rademacher": _rademacher,
    "sphere": _sphere,
    "orthogonal": _orthogonal,
    "frames": _frames,
    "onehot": _onehot,
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
    """Draw probes r[n, k, q] with E[r rᵀ] = I on the generator's device, to pass as ``probes=``.

    Parameters
    ----------
    probe : {"gaussian", "rademacher", "sphere", "orthogonal", "frames", "onehot"}
        Law (distribution) of r.
    n, m : int
        Number of examples (1 for a shared probe), and of logits (forward mode: of inputs).
    num_probes : int
        The number q of probes per example.
    generator : torch.Generator
        Draws the probes.
    dtype : torch.dtype
        Dtype of the logits (in forward mode, of the inputs).
    """
    checks.choice("probe", probe, LAWS)
    n, m = checks.count("n", n), checks.count("m", m)
    q = checks.count("num_probes", num_probes)
    if not isinstance(generator, torch.Generator):
        raise TypeError(f"expected generator=torch.Generator(device), got {generator!r}")
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
        raise TypeError(
            f"expected dtype to be a real floating torch.dtype, got {dtype!r}; for example "
            "dtype=torch.float32"
        )
    checks.wide("dtype", dtype)
    checks.fitting("probes", (n, m, q), "draw fewer")
    return LAWS[probe](generator, n, m, q).to(dtype)


@dataclass(frozen=True)
class Probes(Contraction):
    """R = [r₁ … r_q] / √q of the probes given, checked, or of new ones (V in forward mode)."""

    averaged: ClassVar[bool] = True  # type: ignore[misc]
    forward_mode: ClassVar[bool] = True

    probes: Tensor | None = None
    probe: str | None = None
    num_probes: int | None = None
    shared_probe: bool = False
    generator: torch.Generator | None = None

    def __post_init__(self) -> None:
        if self.probe is not None:
            checks.choice("probe", self.probe, LAWS)
        if self.num_probes is not None:
            checks.count("num_probes", self.num_probes)
        if not isinstance(self.shared_probe, bool):
            raise TypeError(f"expected shared_probe=True or False, got {self.shared_probe!r}")

    @property
    def draws(self) -> bool:  # type: ignore[override]
        """Whether the probes are drawn."""
        return self.probes is None

    @property
    def same_for_all(self) -> bool:  # type: ignore[override]
        """Whether the batch shares its probes."""
        return self.shared_probe

    def columns(self, side: Side) -> Tensor:
        """The probes r[n, k, q]."""
        r = self.drawn(side) if self.probes is None else self.given(side)
        return r.expand(len(side.z), -1, -1) if self.shared_probe else r

    def given(self, side: Side) -> Tensor:
        """The probes that were passed."""
        r = _require_probes(self.probes, side.z, side.size, self.shared_probe)
        if self.num_probes not in (None, r.shape[2]):
            raise ValueError(
                f"expected probes with {self.num_probes} columns, as num_probes says, got "
                f"{r.shape[2]}; leave num_probes out if you pass probes"
            )
        return r

    def drawn(self, side: Side) -> Tensor:
        """New probes of the law."""
        q = 1 if self.num_probes is None else int(self.num_probes)
        if q >= side.size:
            raise ValueError(
                f"expected num_probes < m = {side.size}, got {q}: m products give "
                "the exact value at the same cost and without noise; use frobreg (or jacreg "
                "without probes)"
            )
        g = require_generator(self.generator, side.z)
        n = 1 if self.shared_probe else side.z.shape[0]
        checks.fitting("probes", (n, side.size, q), "draw fewer")
        return LAWS[self.probe or "gaussian"](g, n, side.size, q).to(side.z.dtype)


def _require_probes(r: Any, z: Tensor, m: int, shared: bool) -> Tensor:
    """Probes r[n, k, q], k < m, like the tensor z they probe; r[1, k, q] if shared."""
    same_device("probes", r, z)
    if not torch.compiler.is_compiling() and r.is_inference():
        raise ValueError("expected probes made outside inference mode; pass probes.clone()")
    n = 1 if shared else z.shape[0]
    if r.ndim != 3 or tuple(r.shape[:2]) != (n, m) or r.shape[2] == 0:
        hint = (
            "for one set of probes for the whole batch pass shared_probe=True"
            if r.ndim == 3 and r.shape[0] == 1 and not shared
            else "for one probe per example pass probes[:, :, None]"
        )
        raise ValueError(f"expected probes with shape ({n}, {m}, q), got {tuple(r.shape)}; {hint}")
    if r.dtype != z.dtype:
        raise TypeError(
            f"expected probes of dtype {z.dtype} like the logits, got {r.dtype}; "
            "convert them with probes.to(logits.dtype)"
        )
    return r


def require_generator(g: Any, z: Tensor) -> torch.Generator:
    """Randomness is an argument, never global state."""
    if not isinstance(g, torch.Generator):
        raise TypeError(
            f"expected generator=torch.Generator({str(z.device)!r}).manual_seed(seed), got {g!r}; "
            "randomness is always passed in (or pass probes= themselves)"
        )
    if g.device.type != z.device.type:
        raise ValueError(
            f"expected a generator on {z.device} like the logits, got one on {g.device}; "
            f"make it with torch.Generator({str(z.device)!r})"
        )
    return g


def rank_generator(
    seed: int, device: torch.device | str = "cpu", rank: int | None = None
) -> torch.Generator:
    """Return a generator for this rank: from one seed, every rank draws its own probes.

    Parameters
    ----------
    seed : int
        The same number >= 0 on every rank.
    device : torch.device or str
        Device of the logits, on which probes are drawn.
    rank : int, optional
        By default the rank in the process group, or 0 without a process group.
    """
    if rank is None:
        rank = torch.distributed.get_rank() if distributed.parallel() else 0
    seed, rank = checks.count("seed", seed, least=0), checks.count("rank", rank, least=0)
    # Hashed, as neighbouring seeds of some generators start alike.
    mixed = int.from_bytes(sha256(f"{seed} {rank}".encode()).digest()[:8], "big")
    try:
        generator = torch.Generator(device)
    except (RuntimeError, TypeError) as error:
        raise ValueError(
            f"expected the device of the logits, 'cpu' or 'cuda' say, got {device!r}, for which "
            f"this torch has no generator: {str(error).splitlines()[0]}"
        ) from error
    return generator.manual_seed(mixed % 2**63)
