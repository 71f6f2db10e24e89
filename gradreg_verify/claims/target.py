"""An implementation under test, and what the claims ask of it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, get_args

import numpy as np

from gradreg_ref.typing import Array, Law, Side
from gradreg_verify.examples import Example, Variant, all_variants, bundled
from gradreg_verify.frameworks.registry import Backend, load, require_device
from gradreg_verify.outcomes import Broken, NotAsked, NotHere
from gradreg_verify.subject.declaration import NAMES, Declaration
from gradreg_verify.subject.declared import DeclaredPenalty
from gradreg_verify.subject.suited import suited

# Points of a rule for which a backend is asked in one call, and of a rule that it is asked for; a
# function is asked for one point in a call.
_AT_ONCE, _MOST_POINTS, _MOST_CALLS = 64, 210, 40


@dataclass(frozen=True)
class Target:
    """An implementation under test.

    Parameters
    ----------
    backend : Backend
        All penalties of a backend, or one `DeclaredPenalty`.
    device, dtype : str
        Where, and in what, it is called.
    dtypes : tuple of str
        The lower precisions whose rounding is bounded.
    seed, draws : int
        Of everything that is sampled, and how many probes of a law.
    probed : {"output", "input"}, optional
        The side whose probes a backend is asked for; a function is declared with its own.
    """

    backend: Backend
    device: str = "cpu"
    dtype: str = "float64"
    dtypes: tuple[str, ...] = ()
    seed: int = 4
    draws: int = 4000
    probed: Side | None = None

    @property
    def declared(self) -> DeclaredPenalty | None:
        """The one function under test, if it is one."""
        return self.backend if isinstance(self.backend, DeclaredPenalty) else None

    @property
    def declaration(self) -> Declaration | None:
        """Return what that function is declared to be."""
        return None if self.declared is None else self.declared.declaration

    def function(self) -> DeclaredPenalty:
        """`declared`, for what is asked of single functions only: NotAsked of a backend."""
        if self.declared is None:
            raise NotAsked("asked of single functions")
        return self.declared

    def variants(self, e: Example) -> Iterator[Variant]:
        """The penalties and options that are compared with the reference at an example."""
        return all_variants(e) if self.declared is None else self.declared.variants(e)

    def examples(self, seed: int = 0) -> Iterator[Example]:
        """Return all bundled examples, or those that a function is declared for."""
        return bundled(seed) if self.declaration is None else suited(self.declaration, seed)

    def representative(self, e: Example) -> bool:
        """Whether an example is used for properties that every network of its shape shows.

        The dyadic networks have every shape. A backend has hundreds of options, and JAX compiles a
        program for each: its other reductions, laws and refusals are asked on five vectors alone.
        """
        return e.exact and (self.declared is not None or (len(e.x) == 5 and e.x.ndim == 2))

    def require_representative(self, e: Example) -> None:
        """NotHere unless an example is `representative`."""
        if not self.representative(e):
            raise NotHere("a dyadic network shows the same")

    def require_asked_once(self, e: Example) -> None:
        """NotHere unless an example is the one at which networks of other shapes are tried."""
        if self.declaration is not None and self.declaration.restricted:
            raise NotHere("its networks are of a shape declared")
        if e.exact or (e.x.shape, e.m, len(e.network.layers)) != ((5, 4), 3, 3):
            raise NotHere("asked once")

    @property
    def reduction(self) -> str:
        """Return the reduction that most claims ask for, where any reduction shows the same."""
        return "none" if self.declared is None else "sum"

    @property
    def side(self) -> Side:
        """The side whose probes are handed over."""
        if self.probed is not None:
            return self.probed
        return "output" if self.declaration is None else self.declaration.side

    def length(self, e: Example) -> int:
        """Return the length of a probe at an example: the logits, or the input coordinates."""
        return e.x[0].size if self.side == "input" else e.m

    def require_few(self, points: int) -> None:
        """NotHere where a rule has many points: networks of fewer logits show the same."""
        if points > (_MOST_POINTS if self.declared is None else _MOST_CALLS):
            raise NotHere(f"a rule of {points} points")

    def estimate(self, e: Example, probes: Array) -> Array:
        """SpectReg of every example (n,) at probes of its side."""
        return self.value("spectreg", e, probes=probes, **self.sided({"reduction": "none"}))

    def estimates(self, e: Example, points: Array) -> Array:
        """SpectReg of every example at every point, (p, n).

        Parameters
        ----------
        e : Example
            n examples.
        points : array (p, length) or (p, n, length)
            Probes of all examples, or of each. A backend computes many points in one call, in which
            the batch has the examples once for each point.
        """
        calls = [self.estimate(examples, probes) for examples, probes in self.calls(e, points)]
        return np.concatenate(calls).reshape(-1, len(e.x))[: len(points)]

    def means(self, e: Example, probes: Array) -> Array:
        """SpectReg's mean over the batch at probes (p, n, length) of its examples, (p,)."""
        if self.declared is None:
            return self.estimates(e, probes).mean(axis=1)
        options = self.sided({"reduction": "mean"})
        return np.array(
            [self.value("spectreg", e, probes=r[:, :, None], **options) for r in probes]
        )

    def with_values(self, e: Example) -> Example:
        """Return all examples, or the first where the function returns one number per batch."""
        d = self.declaration
        return e if d is None or d.reduction == "none" else e.rows(slice(0, 1))

    def total_slope(self, e: Example, points: Array, direction: Array) -> tuple[Array, float]:
        """Return `slope` of SpectReg summed over all examples at all points."""
        options = self.sided({"reduction": self.reduction})
        slopes = [
            self.slope("spectreg", examples, direction, probes=probes, **options)
            for examples, probes in self.calls(e, points)
        ]
        return np.sum([slope for slope, _ in slopes]), max(scale for _, scale in slopes)

    def calls(self, e: Example, points: Array) -> Iterator[tuple[Example, Array]]:
        """Examples and probes for every call; zeros fill the last one of a backend.

        Every call has the same shape, for which a program is compiled once.
        """
        n, at_once = len(e.x), _AT_ONCE if self.declared is None else 1
        p, *_, length = points.shape
        probes = np.broadcast_to(points.reshape(p, -1, length), (p, n, length))
        many = e.rows(np.tile(np.arange(n), at_once))
        for start in range(0, p, at_once):
            some = probes[start : start + at_once]
            filled = np.pad(some, ((0, at_once - len(some)), (0, 0), (0, 0)))
            yield many, filled.reshape(at_once * n, -1, 1)

    def sided(self, options: dict[str, Any]) -> dict[str, Any]:
        """The options, with the side where it is not the usual one."""
        return options | ({"side": "input"} if self.side == "input" else {})

    def laws(self) -> tuple[Law, ...]:
        """The laws of the probes it draws."""
        if self.declaration is None:
            return get_args(Law)
        return () if self.declaration.probe is None else (self.declaration.probe,)

    def value(self, penalty: str, e: Example, **options: Any) -> Array:
        """Return what the implementation says the penalty is."""
        got = self.backend.value(penalty, *e.arguments(options), **self.settings(options))
        return np.asarray(got)

    def value_of(self, variant: Variant, e: Example, **options: Any) -> Array:
        """Return what the implementation says a variant is."""
        return self.value(variant.penalty, e, **variant.options, **options)

    def slope(
        self, penalty: str, e: Example, direction: Array, **options: Any
    ) -> tuple[Array, float]:
        """The derivative along a direction of parameters, and the size of the terms in its sum."""
        at, settings = (penalty, *e.arguments(options)), self.settings(options)
        along = getattr(self.backend, "slope", None)
        if along is not None:
            return np.asarray(along(*at, direction, **settings)), 0.0
        gradient = np.asarray(self.backend.gradient(*at, **settings))
        if gradient.shape != direction.shape:
            raise Broken(f"{penalty}, gradient: expected {direction.shape}, got {gradient.shape}")
        return gradient @ direction, float(np.abs(gradient * direction).max())

    def settings(self, options: dict[str, Any]) -> dict[str, Any]:
        """The options, with the device and dtype under test."""
        return {"device": self.device, "dtype": self.dtype} | options


def target_of(
    implementation: Any,
    kind: str | None,
    framework: str,
    device: str,
    seed: int,
    time_limit: float,
    declared: Mapping[str, Any],
) -> Target:
    """A backend as it is; a function behind its framework's harness."""
    if isinstance(implementation, Backend):
        if kind is not None or declared:
            raise ValueError("expected kind= and its options with a function, not with a backend")
        require_device(implementation, device)
        return Target(implementation, device, seed=seed)
    if not callable(implementation):
        raise TypeError(f"expected a backend or a function, got {implementation!r:.60}")
    backend: Any = load(framework)
    require_device(backend, device)
    declaration = _declaration_of(implementation, kind, declared)
    one = backend.under_test(implementation, declaration, device, time_limit)
    return Target(one, device, seed=seed)


def _declaration_of(function: Any, kind: str | None, declared: Mapping[str, Any]) -> Declaration:
    """Return what arguments and decorator declare; the arguments win."""
    attached: Declaration | None = getattr(function, "gradreg_declaration", None)
    given = {name: value for name, value in declared.items() if value is not None}
    if kind is not None:
        return Declaration(kind, **given)
    if attached is None:
        raise ValueError(
            f"expected a kind, the penalty that the function should compute ({', '.join(NAMES)}), "
            "got none; pass --kind frobreg, or from Python kind='frobreg'; or put "
            "@declare('frobreg') on the function"
        )
    return replace(attached, **given)
