"""What a penalty under test is meant to be: declared by its author, never guessed."""

from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite
from typing import Any, TypeVar, get_args

from gradreg_ref import checks
from gradreg_ref.penalties import PENALTIES
from gradreg_ref.typing import Law, Loss, Reduction, Side

F = TypeVar("F", bound=Callable[..., Any])
KINDS = tuple(row.name for row in PENALTIES.values() if not row.given_R)
ARGUMENTS = ("model", "params", "x", "y", "logits", "probes", "generator", "key")


@dataclass(frozen=True)
class Declaration:
    """`scale` × the `reduction` over the batch of a penalty of that kind.

    Parameters
    ----------
    kind : str
        One of `gradreg_ref.penalties.PENALTIES`.
    probe : {"gaussian", "rademacher", "sphere", "orthogonal", "onehot"}, optional
        Law of the probes, E[rrᵀ] = I. SpectReg has gaussian ones where nothing is said; JacReg
        without a law is the exact one.
    num_probes : int
        How many are averaged.
    shared_probe : bool
        One set for the whole batch.
    side : {"output", "input"}
        "input": ‖JV‖²_F, probes of the length of an input.
    scale : float
        0.5 makes a ½ explicit.
    reduction : {"mean", "sum", "none"}
        Over the batch.
    loss : {"cross_entropy", "mean_squared_error"}
        Of DoubleBack.
    arguments : tuple of str
        What the function takes, in order: of "model", "params" (JAX), "x", "y", "logits", and by
        keyword "probes" and "generator" or "key". Read off its signature where empty.

    Raises
    ------
    ValueError
        An unknown name, or an option that this kind does not have.
    """

    kind: str
    probe: Law | None = None
    num_probes: int = 1
    shared_probe: bool = False
    side: Side = "output"
    scale: float = 1.0
    reduction: Reduction = "mean"
    loss: Loss = "cross_entropy"
    arguments: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        checks.choice("kind", self.kind, KINDS)
        checks.choice("side", self.side, get_args(Side))
        checks.choice("reduction", self.reduction, get_args(Reduction))
        checks.choice("loss", self.loss, get_args(Loss))
        checks.count("num_probes", self.num_probes)
        for name in self.arguments:
            checks.choice("arguments", name, ARGUMENTS)
        if PENALTIES[self.kind].probes == "always" and self.probe is None:
            object.__setattr__(self, "probe", "gaussian")
        if self.probe is not None:
            checks.choice("probe", self.probe, get_args(Law))
            if PENALTIES[self.kind].probes == "never":
                raise ValueError(f"expected no probe= for {self.kind}, which draws none")
        if self.side == "input" and self.kind != "spectreg":
            raise ValueError(f"expected side='output' for {self.kind}; 'input' is for spectreg")
        if self.probe is None and (self.shared_probe or self.num_probes != 1):
            raise ValueError(f"expected probe= with num_probes or shared_probe, kind {self.kind}")
        if not isfinite(self.scale) or self.scale == 0:
            raise ValueError(f"expected scale to be finite and not 0, got {self.scale}")

    @property
    def loss_option(self) -> dict[str, Any]:
        """The loss as an option, where the penalty has one."""
        return {"loss": self.loss} if len(PENALTIES[self.kind].forms) > 1 else {}

    def __str__(self) -> str:
        factor = "" if self.scale == 1 else f"{self.scale:g} × "
        batch = {"mean": "batch mean", "sum": "batch sum", "none": "value an example"}
        probes = ""
        if self.probe is not None:
            count = "" if self.num_probes == 1 else f"{self.num_probes} "
            shared = "shared " if self.shared_probe else ""
            probes = f", {count}{shared}{self.probe} probes" + (
                " of the inputs" if self.side == "input" else ""
            )
        loss = f", {self.loss}" if self.loss_option else ""
        return f"{factor}{batch[self.reduction]} of {self.kind}{probes}{loss}"


def declare(kind: str, **options: Any) -> Callable[[F], F]:
    """State what a penalty computes: ``@declare("spectreg", probe="sphere", scale=0.5)``.

    Parameters
    ----------
    kind, options
        Those of `Declaration`.

    Returns
    -------
    decorator
        The function itself comes back; `gradreg_verify.verify` reads the declaration off it.
    """
    declaration = Declaration(kind, **options)

    def attach(function: F) -> F:
        function.gradreg_declaration = declaration  # type: ignore[attr-defined]
        return function

    return attach
