"""How a function gets chosen probes: as an argument, fed, or drawn from a seed and read out."""

from collections.abc import Iterator
from functools import cache, cached_property
from typing import Any

import numpy as np

from gradreg_ref.networks import Network
from gradreg_ref.typing import Array
from gradreg_verify.frameworks.harness import Call, Harness, Supply
from gradreg_verify.kept import kept
from gradreg_verify.outcomes import Broken, NotTestable
from gradreg_verify.subject import interception, readout

TIERS = {
    "argument": "probes as an argument",
    "intercepted": "intercepted randomness",
    "seeded": "black box: probes read out, seeds replayed",
    "deterministic": "black box: no randomness declared",
}


class Handover:
    """The probes of a function.

    Parameters
    ----------
    harness, device
        As in `DeclaredPenalty`.
    """

    def __init__(self, harness: Harness, device: str) -> None:
        self.harness, self.declaration, self.device = harness, harness.declaration, device
        self.layout = cache(self.find_layout)
        self.consumed = kept(self.find_consumed)
        self.seeds: dict[bytes, int] = {}
        self.raised = ""  # by the last layout that was tried

    @cached_property
    def tier(self) -> str:
        """Return how far this function can be checked; a key of `TIERS`."""
        d = self.declaration
        if d.probe is None:
            return "deterministic"
        length = d.num_probes + (4 if d.side == "input" else 2)
        if self.layout(2, length) is None:
            return "seeded"
        return "argument" if "probes" in self.harness.arguments else "intercepted"

    def find_layout(self, n: int, length: int) -> interception.Layout | None:
        """Find how probes (n, length, q) are handed over; None where no way was found.

        The first layout with which the probes wanted are the probes read out: several times where
        a law has few probes, because another layout then gives the same ones by chance.
        """
        d = self.declaration
        hidden = readout.selectors(n) if d.side == "input" else 0
        m = length - hidden  # the part of a probe that is read out
        if m < 1:
            return None
        few = d.probe in ("rademacher", "onehot")
        sets = [self.telling_probes(n, length, m, 6 + 100 * k) for k in range(8 if few else 1)]
        try:
            candidates = list(self.candidates(n, m, sets[0].shape))
        except Broken:
            return None
        return next((c for c in candidates if all(self.shows(c, m, r, n) for r in sets)), None)

    def shows(self, layout: interception.Layout, m: int, r: Array, n: int) -> bool:
        """Whether the probes handed over in a layout are read out, times any factor."""
        expected = np.broadcast_to(_moments(self.declaration.kind, r[:, :m]), (n, m, m))
        try:
            found = self.read(n, m, layout(r))
        except Exception as error:  # a layout that does not fit may raise anything
            self.raised = str(error)
            return False
        self.raised = ""
        scale = float((found * expected).sum() / max((expected**2).sum(), 1e-300))
        off = np.abs(found - scale * expected).max()
        return bool(scale > 0 and off <= readout.LIMIT * scale * r.shape[1])

    def realised(self, seed: int, n: int, length: int) -> Array:
        """Probes of the declared law and shape."""
        d = self.declaration
        normal = np.random.default_rng(seed).standard_normal(d.probe_shape(n, length))
        return interception.realise(str(d.probe), normal)

    def telling_probes(self, n: int, length: int, m: int, start: int) -> Array:
        """Probes that can be told apart from their read-out (JacReg does not see equal signs)."""
        for seed in range(start, start + 100):
            r = self.realised(seed, n, length)
            if _moments(self.declaration.kind, r[:, :m]).any():
                break
        return r

    def candidates(self, n: int, m: int, shape: tuple[int, ...]) -> Iterator[interception.Layout]:
        """Layouts for this function: shapes of its argument, or of its draws."""
        if "probes" in self.harness.arguments:
            return interception.argument_layouts(shape)
        draws = self.harness.draws(self.at_readout(n, m, Supply()), values=False)
        return interception.layouts(str(self.declaration.probe), draws, shape)

    def of_seed(self, seed: int, network: Network, x: Array) -> Supply:
        """A seed, or probes of that seed for a function that must be given some."""
        r = self.must_be_given(seed, network, x)
        return Supply(seed) if r is None else self.supply(r, len(x))

    def must_be_given(self, seed: int, network: Network, x: Array) -> Array | None:
        """Probes of a seed for a function that draws none, or None."""
        d = self.declaration
        if d.probe is None or self.harness.draws_probes:
            return None
        length = x[0].size if d.side == "input" else network.forward(x).shape[1]
        return self.realised(seed, len(x), length)

    def supply(self, probes: Array, n: int) -> Supply:
        """How the function comes to have these probes in a batch of n."""
        d = self.declaration
        if probes.tobytes() in self.seeds:
            return Supply(self.seeds[probes.tobytes()])
        if self.tier == "seeded" and not self.harness.draws_probes:
            why = f"; with the last of them it {self.raised:.200}" if self.raised else ""
            raise NotTestable(
                "probes= was tried with its axes in every order, and in none is the penalty a "
                f"quadratic form of the probes{why}"
            )
        if self.tier == "seeded":
            raise NotTestable("it draws its own probes, and none can be given to it")
        if d.shared_probe and len(probes) > 1:
            if np.ptp(probes, axis=0).max() > 0:
                raise NotTestable("it has one probe for the whole batch")
            probes = probes[:1]
        if probes.shape[2] == 1 < d.num_probes:
            probes = np.repeat(probes, d.num_probes, axis=2)
        if probes.shape[2] != d.num_probes:
            raise NotTestable(f"it has {d.num_probes} probe(s)")
        law = str(d.probe)
        if self.tier == "intercepted" and not np.allclose(
            interception.realise(law, probes), probes
        ):
            raise NotTestable(f"it can be fed {law} probes only")
        layout = self.layout(n, probes.shape[1])
        if layout is None:
            raise NotTestable(f"no way was found to hand over probes {probes.shape}")
        return layout(probes)

    def at_readout(
        self, n: int, m: int, supply: Supply, *, images: bool = False, **mode: Any
    ) -> Call:
        """The call at the network that shows the probes of n examples with m logits."""
        at = (*readout.network(n, m, images), np.zeros(n, int), supply)
        return Call(*at, device=self.device, only=readout.BLOCKS, **mode)

    def read(self, n: int, m: int, supply: Supply, **mode: Any) -> Array:
        """(1/q) Σ_j r_j r_jᵀ of every example, read out, without the declared scale."""
        gradient = self.harness.gradient(self.at_readout(n, m, supply, **mode))
        to_sum = n if self.declaration.reduction == "mean" else 1
        total = gradient * (to_sum / self.declaration.scale)
        return readout.second_moments(total, n, m, _limit(mode))

    def draw(self, n: int, m: int, seed: int, **mode: Any) -> Array:
        """Probes as drawn for that seed, up to signs (and a rotation for q > 1).

        The probes of a mode, such as another dtype, are those of no other one.
        """
        d = self.declaration
        if not self.harness.draws_probes:
            raise NotTestable("it draws no probes: they are given to it")
        moments_read = self.read(n, m, Supply(seed), **mode)
        if d.shared_probe:
            _require_alike(moments_read, _limit(mode))
            moments_read = moments_read[:1]
        r = readout.probes(moments_read, d.num_probes, _limit(mode))
        if d.kind == "jacreg":
            r = m * r  # S takes the mean off, and so did the read-out: S r is the same
        if not mode:
            self.seeds[r.tobytes()] = seed
        return r

    def require_same_draws(self, network: Network, x: Array, y: Array) -> None:
        """NotTestable where a seed's probes as read out are not those it has at this network."""
        if not self.harness.draws_probes:
            return
        n, m = len(x), network.forward(x).shape[1]
        there = self.consumed(*readout.network(n, m), np.zeros(n, int))
        if self.consumed(network, x, y) != there:
            raise NotTestable(
                "a seed gives other numbers here than where they are read out: what it draws "
                "depends on more than batch and logits"
            )

    def find_consumed(self, network: Network, x: Array, y: Array) -> object:
        """Kinds and shapes of what a seed gives at a network, and the state it is left in."""
        call = Call(network, x, y, Supply(1), device=self.device)
        drawn = self.harness.draws(call, values=False)
        shapes = [(draw.kind, draw.values.shape) for draw in drawn]
        return shapes, self.harness.states_after(call)


def _limit(mode: dict[str, Any]) -> float:
    """How much rounding may change what is read out."""
    return readout.LIMIT if mode.get("dtype", "float64") == "float64" else 1e-4


def _require_alike(moments: Array, limit: float) -> None:
    """Broken unless all examples of a batch have the same probes."""
    off, size = np.abs(moments - moments[:1]).max(), np.abs(moments).max()
    if off > limit * size:
        n = len(moments)
        raise Broken(f"expected the same probes for all examples, got others in a batch of {n}")


def _moments(kind: str, r: Array) -> Array:
    """(1/q) Σ_j r_j r_jᵀ as the read-out shows it: of S r at equal logits in JacReg."""
    if kind == "jacreg":
        r = (r - r.mean(axis=1, keepdims=True)) / r.shape[1]
    return np.einsum("nkq,nlq->nkl", r, r) / r.shape[2]
