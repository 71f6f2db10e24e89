"""One function under test, behind the backend protocol: scale, reduction and probes translated.

The checks ask it what they ask a backend, and get the penalty without its declared scale. What a
function cannot be asked, because it has one reduction and draws its own probes, is `NotTestable`.
"""

from collections.abc import Iterator
from contextlib import nullcontext
from functools import partial
from typing import Any

import numpy as np

from gradreg_ref.networks import Network
from gradreg_ref.penalties import PENALTIES
from gradreg_ref.typing import Array
from gradreg_verify.examples import Example, Variant, all_variants
from gradreg_verify.frameworks.harness import Call, Harness
from gradreg_verify.outcomes import Broken, NotAsked, NotTestable
from gradreg_verify.subject import interception
from gradreg_verify.subject.handover import Handover

_SETTINGS = ("dtype", "device", "training", "no_grad", "requires_grad", "frozen")


class DeclaredPenalty:
    """A function under test.

    Parameters
    ----------
    framework : Backend
        Whose capabilities it has.
    harness : Harness
        The function in its framework; its declaration is what values are translated by.
    device : str
        Where probes are read out: a seed draws other ones on another device.
    """

    def __init__(self, framework: Any, harness: Harness, device: str) -> None:
        self.capabilities = framework.capabilities
        self.steady = partial(getattr(framework, "steady", nullcontext), harness.generators)
        self.harness, self.declaration, self.device = harness, harness.declaration, device
        self.name = harness.name
        self.probes = Handover(harness, device)

    def value(
        self, penalty: str, network: Network, x: Array, y: Array | None = None, **options: Any
    ) -> Array:
        """The penalty as if it had no scale, with the reduction and the probes asked for."""
        d, n = self.declaration, len(x)
        reduction = options.get("reduction", "mean")
        if reduction == "none" and d.reduction != "none" and n > 1:
            return np.concatenate(list(self.rows(penalty, network, x, y, options)))
        got = self.call("value", penalty, network, x, y, options)
        expected = (n,) if d.reduction == "none" else ()
        if got.shape != expected:
            raise Broken(f"expected a value of shape {expected}, got {got.shape}")
        if reduction == "none":
            return got.reshape(n)
        return got.sum() * self.factor(reduction, n)

    def gradient(
        self, penalty: str, network: Network, x: Array, y: Array | None = None, **options: Any
    ) -> Array:
        """The gradient of the sum of `value`."""
        got = self.call("gradient", penalty, network, x, y, options)
        return got * self.factor(options.get("reduction", "mean"), len(x))

    def factor(self, reduction: str, n: int) -> float:
        """Return the factor from the declared reduction to another; 1 for a penalty of weights."""
        if PENALTIES[self.declaration.kind].of == "weights":
            return 1.0
        parts = {"mean": n}
        return parts.get(self.declaration.reduction, 1) / parts.get(reduction, 1)

    def rows(
        self, penalty: str, network: Network, x: Array, y: Any, options: dict[str, Any]
    ) -> Iterator[Array]:
        """The value of every example in a batch of its own."""
        if "seed" in options:
            raise NotTestable("the probes of one example of a batch cannot be drawn alone")
        for b in range(len(x)):
            row = slice(b, b + 1)
            probes = options.get("probes")
            own = {} if probes is None or len(probes) == 1 else {"probes": probes[row]}
            y_row = None if y is None else y[row]
            yield self.value(penalty, network, x[row], y_row, **(options | own))

    def call(
        self, what: str, penalty: str, network: Network, x: Array, y: Any, options: dict[str, Any]
    ) -> Array:
        """Call the function at these probes, in its own reduction and without its scale."""
        settings = self.require(penalty, options)
        if self.probes.tier == "seeded" and settings.get("dtype", "float64") != "float64":
            raise NotTestable("a seed draws other probes in another dtype")
        if options.get("probes") is None:
            supply = self.probes.of_seed(options.get("seed", 0), network, x)
        else:
            supply = self.probes.supply(options["probes"], len(x))
        call = Call(network, x, y, supply, **settings)
        return np.asarray(getattr(self.harness, what)(call)) / self.declaration.scale

    def at(self, e: Example, seed: int, **settings: Any) -> Call:
        """The call at an example, at the probes of a seed."""
        supply = self.probes.of_seed(seed, e.network, e.x)
        at = e.arguments(self.declaration.loss_option)
        return Call(*at, supply, device=self.device, **settings)

    def require(self, penalty: str, options: dict[str, Any]) -> dict[str, Any]:
        """The settings among the options; NotTestable where others are not those declared."""
        d = self.declaration
        if penalty != d.kind:
            raise NotAsked(f"only {d.kind} is under test")
        if d.loss_option and options.get("loss", "cross_entropy") != d.loss:
            raise NotTestable(f"its loss is {d.loss}")
        for name in options.keys() - {*_SETTINGS, "reduction", "probes", "seed"}:
            if options[name] != getattr(d, name, None):
                raise NotTestable(f"{name}={options[name]!r} is not what is declared")
        return {k: v for k, v in options.items() if k in _SETTINGS}

    def draw(
        self, probe: str, n: int, m: int, num_probes: int, *, seed: int, device: str = "cpu"
    ) -> Array:
        """Probes as drawn for that seed, as far as they can be read out."""
        d = self.declaration
        if (probe, num_probes, device) != (d.probe, d.num_probes, self.device):
            raise NotTestable(f"it draws {d.num_probes} {d.probe} probe(s) on {self.device}")
        return self.probes.draw(n, m, seed)

    def functions_declared(self, device: str) -> list["DeclaredPenalty"]:
        """The function itself."""
        del device
        return [self]

    def variants(self, e: Example) -> Iterator[Variant]:
        """Yield the declared one of all variants at an example."""
        d, m = self.declaration, e.m
        if PENALTIES[d.kind].of == "weights":
            yield Variant(d.kind, {}, e.exact)
        for variant in all_variants(e):
            loss, probed = variant.options.get("loss", "cross_entropy"), "probes" in variant.options
            if (variant.penalty, loss, probed) != (d.kind, d.loss, d.probe is not None):
                continue
            if not probed:
                yield variant
            elif self.probes.tier == "argument" or m > d.num_probes:
                yield from self.at_probes(e, variant.exact)

    def at_probes(self, e: Example, exact: bool) -> Iterator[Variant]:
        """The variant at probes that the function can have."""
        d, (n, m, _) = self.declaration, e.probes.shape
        options: dict[str, Any] = {"shared_probe": True} if d.shared_probe else {}
        if d.side == "input":
            options["side"] = "input"
        if self.probes.tier == "seeded":
            if d.side == "input":
                return
            self.probes.require_same_draws(e.network, e.x, e.y)
            r = self.probes.draw(n, m, seed=11)
            yield Variant(d.kind, options | {"probes": r}, False)
            return
        length = e.x[0].size if d.side == "input" else m
        r = np.random.default_rng(7).integers(-8, 9, d.probe_shape(n, length)) / 4
        law = str(d.probe)
        dyadic = law in ("gaussian", "rademacher") and d.num_probes in (1, 4)
        options["probes"] = interception.realise(law, r)
        yield Variant(d.kind, options, exact and dyadic)
