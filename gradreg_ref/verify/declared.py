"""One function under test, behind the backend protocol: scale, reduction and probes translated.

The checks ask it what they ask a backend, and get the penalty without its declared scale. What a
function cannot be asked, because it has one reduction and draws its own probes, is `NotTestable`.
"""

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np

from gradreg_ref.backends import Capabilities
from gradreg_ref.networks import Network
from gradreg_ref.typing import Array
from gradreg_ref.verify import interception, readout
from gradreg_ref.verify.declaration import Declaration
from gradreg_ref.verify.examples import Example, Variant, all_variants
from gradreg_ref.verify.harness import Harness, Supply
from gradreg_ref.verify.outcomes import Broken, NotAsked, NotTestable

TIERS = {
    "argument": "probes as an argument",
    "intercepted": "intercepted randomness",
    "seeded": "black box: probes read out, seeds replayed",
    "deterministic": "black box: no randomness declared",
}
SETTINGS = ("dtype", "device", "training", "no_grad")


class DeclaredPenalty:
    """A function and its declaration.

    Parameters
    ----------
    harness : Harness
        The function in its framework.
    declaration : Declaration
        What its values are translated by.
    device : str
        Where probes are read out: a seed draws other ones on another device.
    """

    def __init__(self, harness: Harness, declaration: Declaration, device: str = "cpu") -> None:
        self.harness, self.declaration, self.device = harness, declaration, device
        self.name = harness.name
        self.layouts: dict[tuple[int, ...], interception.Layout | None] = {}
        self.seeds: dict[bytes, int] = {}

    def capabilities(self) -> Capabilities:
        """Those of the framework."""
        return self.harness.capabilities()

    def value(
        self, penalty: str, network: Network, x: Array, y: Array | None = None, **options: Any
    ) -> Array:
        """The penalty as if it had no scale, with the reduction and the probes asked for."""
        d, n = self.declaration, len(x)
        reduction = options.get("reduction", "mean")
        if reduction == "none" and d.reduction != "none" and n > 1:
            rows = self.rows("value", penalty, network, x, y, options)
            return np.concatenate(list(rows))
        got = self.call("value", penalty, network, x, y, **options)
        expected = (n,) if d.reduction == "none" else ()
        if got.shape != expected:
            raise Broken(f"expected a value of shape {expected}, got {got.shape}")
        if d.reduction == "none":
            return got if reduction == "none" else got.sum() * self.factor(reduction, n)
        total = got * self.factor(reduction, n)
        return total[None] if reduction == "none" else total

    def gradient(
        self, penalty: str, network: Network, x: Array, y: Array | None = None, **options: Any
    ) -> Array:
        """The gradient of the sum of `value`."""
        got = self.call("gradient", penalty, network, x, y, **options)
        return got * self.factor(options.get("reduction", "mean"), len(x))

    def factor(self, reduction: str, n: int) -> float:
        """From the declared reduction to the one asked for."""
        if reduction == self.declaration.reduction or self.declaration.kind == "weight_decay":
            return 1.0
        return (n if self.declaration.reduction == "mean" else 1) / (
            n if reduction == "mean" else 1
        )

    def rows(
        self, what: str, penalty: str, network: Network, x: Array, y: Any, options: dict[str, Any]
    ) -> Iterator[Array]:
        """Every example in a batch of its own."""
        if "seed" in options:
            raise NotTestable("the probes of one example of a batch cannot be drawn alone")
        for b in range(len(x)):
            row = slice(b, b + 1)
            probes = options.get("probes")
            own = {} if probes is None or len(probes) == 1 else {"probes": probes[row]}
            y_row = None if y is None else y[row]
            yield getattr(self, what)(penalty, network, x[row], y_row, **(options | own))

    def call(
        self,
        what: str,
        penalty: str,
        network: Network,
        x: Array,
        y: Any,
        *,
        reduction: str = "mean",
        probes: Array | None = None,
        seed: int = 0,
        **options: Any,
    ) -> Array:
        """What the function gives at these probes, without its scale."""
        del reduction  # the caller's: the function has its own
        settings = self.require(penalty, options)
        if self.tier == "seeded" and settings.get("dtype", "float64") != "float64":
            raise NotTestable("a seed draws other probes in another dtype")
        supply = self.supply_of(seed, network, x) if probes is None else self.supply(probes, len(x))
        function = getattr(self.harness, what)
        return np.asarray(function(network, x, y, supply, **settings)) / self.declaration.scale

    def require(self, penalty: str, options: dict[str, Any]) -> dict[str, Any]:
        """The settings among the options; NotTestable where others are not those declared."""
        d = self.declaration
        if penalty != d.kind:
            raise NotAsked(f"only {d.kind} is under test")
        settings = {k: v for k, v in options.items() if k in SETTINGS}
        if d.kind == "doubleback" and options.get("loss", "cross_entropy") != d.loss:
            raise NotTestable(f"its loss is {d.loss}")
        declared = {
            "loss": d.loss,
            "probe": d.probe,
            "num_probes": d.num_probes,
            "shared_probe": d.shared_probe,
            "side": d.side,
        }
        for name in options.keys() - settings.keys():
            if options[name] != declared.get(name):
                raise NotTestable(f"{name}={options[name]!r} is not what is declared")
        return settings

    # Probes: given, fed, or drawn from a seed and read out.

    @cached_property
    def tier(self) -> str:
        """How far this function can be asked; a key of `TIERS`."""
        d = self.declaration
        if d.probe is None:
            return "deterministic"
        length = d.num_probes + (4 if d.side == "input" else 2)
        if self.layout(2, length) is None:
            return "seeded"
        return "argument" if "probes" in self.harness.arguments else "intercepted"

    def layout(self, n: int, length: int) -> interception.Layout | None:
        """How probes (n, length, q) are handed over; None where no way was found."""
        if (n, length) not in self.layouts:
            self.layouts[n, length] = self.find_layout(n, length)
        return self.layouts[n, length]

    def find_layout(self, n: int, length: int) -> interception.Layout | None:
        """The first layout with which the probes wanted are the probes read out."""
        d = self.declaration
        m = length - n if d.side == "input" else length  # the part of a probe that is read out
        shape = (1 if d.shared_probe else n, length, d.num_probes)
        if m < 1:
            return None
        r = self.telling_probes(shape, m)
        expected = np.broadcast_to(moments(d.kind, r[:, :m]), (n, m, m))
        try:
            candidates = list(self.candidates(n, m, shape))
        except Broken:
            return None
        for layout in candidates:
            try:
                found = self.read(n, m, self.handed(layout(r)))
            except Exception:  # a layout that does not fit may raise anything
                continue
            scale = float((found * expected).sum() / max((expected**2).sum(), 1e-300))
            if np.abs(found - scale * expected).max() <= readout.LIMIT * scale * length:
                return layout
        return None

    def telling_probes(self, shape: tuple[int, ...], m: int) -> Array:
        """Probes that can be told apart from their read-out (JacReg does not see equal signs)."""
        d, rng = self.declaration, np.random.default_rng(6)
        for _ in range(100):
            r = interception.realise(str(d.probe), rng.standard_normal(shape))
            if moments(d.kind, r[:, :m]).any():
                break
        return r

    def candidates(self, n: int, m: int, shape: tuple[int, ...]) -> Iterator[interception.Layout]:
        """Layouts for this function: shapes of its argument, or of its draws."""
        if "probes" in self.harness.arguments:
            yield from interception.argument_layouts(shape)
            return
        network, x = readout.network(n, m)
        draws = self.harness.draws(network, x, np.zeros(n, int), Supply(), device=self.device)
        yield from interception.layouts(str(self.declaration.probe), draws, shape)

    def handed(self, arrays: tuple[Array, ...]) -> Supply:
        """The supply that hands these over."""
        if "probes" in self.harness.arguments:
            return Supply(probes=arrays[0])
        return Supply(feed=arrays)

    def supply_of(self, seed: int, network: Network, x: Array) -> Supply:
        """A seed, or probes of that seed for a function that must be given some."""
        d = self.declaration
        if d.probe is None or self.harness.draws_probes:
            return Supply(seed)
        length = x[0].size if d.side == "input" else network.forward(x).shape[1]
        shape = (1 if d.shared_probe else len(x), length, d.num_probes)
        r = np.random.default_rng(seed).standard_normal(shape)
        return self.supply(interception.realise(d.probe, r), len(x))

    def supply(self, probes: Array, n: int) -> Supply:
        """How the function comes to have these probes in a batch of n."""
        d = self.declaration
        if probes.tobytes() in self.seeds:
            return Supply(self.seeds[probes.tobytes()])
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
        return self.handed(layout(probes))

    def read(self, n: int, m: int, supply: Supply) -> Array:
        """(1/q) Σ_j r_j r_jᵀ of every example, read out, without the declared scale."""
        network, x = readout.network(n, m)
        gradient = self.harness.gradient(network, x, np.zeros(n, int), supply, device=self.device)
        total = gradient * (self.factor("sum", n) / self.declaration.scale)
        return readout.second_moments(total, n, m)

    def draw(
        self, probe: str, n: int, m: int, num_probes: int, *, seed: int, device: str = "cpu"
    ) -> Array:
        """Probes as drawn for that seed, up to signs (and a rotation for q > 1)."""
        del device
        d = self.declaration
        if not self.harness.draws_probes:
            raise NotTestable("it draws no probes: they are given to it")
        if (probe, num_probes) != (d.probe, d.num_probes):
            raise NotTestable(f"it draws {d.num_probes} {d.probe} probe(s)")
        r = readout.probes(self.read(n, m, Supply(seed)), num_probes)
        if d.kind == "jacreg":
            r = m * r  # S takes the mean off, and so did the read-out: S r is the same
        r = r[:1] if d.shared_probe else r
        self.seeds[r.tobytes()] = seed
        return r

    def variants(self, e: Example) -> Iterator[Variant]:
        """Of all variants at an example the one declared."""
        d, m = self.declaration, e.probes.shape[1]
        if d.kind == "weight_decay":
            yield Variant(d.kind, {}, e.exact)
        for variant in all_variants(e):
            declared_loss = variant.options.get("loss", "cross_entropy") == d.loss
            if variant.penalty != d.kind or not declared_loss:
                continue
            if (d.probe is None) == ("probes" not in variant.options):
                if d.probe is None:
                    yield variant
                elif self.tier == "argument" or m > d.num_probes:
                    yield from self.at_probes(e, variant.exact)

    def at_probes(self, e: Example, exact: bool) -> Iterator[Variant]:
        """The variant at probes that the function can have."""
        d, (n, m, _) = self.declaration, e.probes.shape
        options: dict[str, Any] = {"shared_probe": True} if d.shared_probe else {}
        if d.side == "input":
            options["side"] = "input"
        if self.tier == "seeded":
            if d.side == "input":
                return
            r = self.draw(str(d.probe), n, m, d.num_probes, seed=11)
            yield Variant(d.kind, options | {"probes": r}, False)
            return
        length = e.x[0].size if d.side == "input" else m
        rng = np.random.default_rng(7)
        r = rng.integers(-8, 9, (1 if d.shared_probe else n, length, d.num_probes)) / 4
        law = str(d.probe)
        dyadic = law in ("gaussian", "rademacher") and d.num_probes in (1, 4)
        options["probes"] = interception.realise(law, r)
        yield Variant(d.kind, options, exact and dyadic)


def moments(kind: str, r: Array) -> Array:
    """(1/q) Σ_j r_j r_jᵀ as the read-out shows it: of S r at equal logits in JacReg."""
    if kind == "jacreg":
        r = (r - r.mean(axis=1, keepdims=True)) / r.shape[1]
    return np.einsum("nkq,nlq->nkl", r, r) / r.shape[2]
