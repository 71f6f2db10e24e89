"""What a penalty under test should compute. Its author declares this; the kit never guesses."""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any, TypeVar, get_args

from gradreg_ref import checks
from gradreg_ref.penalties import PENALTIES
from gradreg_ref.typing import Law, Loss, Reduction, Side

F = TypeVar("F", bound=Callable[..., Any])
KINDS = tuple(row.name for row in PENALTIES.values() if not row.given_R)
NAMES = (*KINDS, "r1")
AVERAGE = (
    "average it over the probes √m e_k and declare the average as frobreg with that option, as "
    "docs/verify.md shows"
)
_ARGUMENTS = ("model", "params", "x", "y", "logits", "probes", "generator", "key")
_TUPLES = {"arguments": "('model', 'x')", "input": "(3, 8, 8)"}  # with an example
_MOST = 10**6  # outputs, or input coordinates: a Jacobian must fit into memory


@dataclass(frozen=True)
class Declaration:
    """What a penalty computes: `scale` × the `reduction` over the batch of a penalty of `kind`.

    Parameters
    ----------
    kind : str
        One of `gradreg_ref.penalties.PENALTIES`, or "r1": "frobreg" with ``outputs=1``.
    probe : {"gaussian", "rademacher", "sphere", "orthogonal", "onehot"}, optional
        Law of the probes, E[rrᵀ] = I. By default gaussian for SpectReg, and none for
        JacReg, which is then exact.
    num_probes : int
        How many probes are averaged.
    shared_probe : bool
        All examples of a batch share one set of probes.
    side : {"output", "input"}
        "input": ‖JV‖²_F, with probes of the inputs.
    scale : float
        Factor of the penalty: 0.5 for ½.
    reduction : {"mean", "sum", "none"}
        Mean or sum over the batch, or one value per example.
    loss : {"cross_entropy", "mean_squared_error"}
        Loss of DoubleBack.
    arguments : tuple of str
        The arguments of the function in order: "model", "params" (JAX), "x", "y", "logits"; by
        keyword "probes", and "generator" or "key". Read from the signature if empty.
    outputs : int, optional
        The function is for networks with this number of logits only: 1 for R1 of a critic.
    square : bool
        The function is for networks with as many logits as input coordinates only.
    input : tuple of int
        The function is for inputs of this shape only: (3, 8, 8) for images.

    Raises
    ------
    ValueError, TypeError
        A name is unknown, or the kind does not have an option, or not with this value.
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
    outputs: int | None = None
    square: bool = False
    input: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        checks.choice("kind", self.kind, NAMES)
        self.check_types()
        if self.kind == "r1":
            self.expand_r1()
        checks.choice("side", self.side, get_args(Side))
        checks.choice("reduction", self.reduction, get_args(Reduction))
        checks.choice("loss", self.loss, get_args(Loss))
        for name in self.arguments:
            checks.choice("arguments", name, _ARGUMENTS)
        if PENALTIES[self.kind].probes == "always" and self.probe is None:
            object.__setattr__(self, "probe", "gaussian")
        if self.probe is not None:
            checks.choice("probe", self.probe, get_args(Law))
            if PENALTIES[self.kind].probes == "never":
                raise ValueError(f"expected no probe= for {self.kind}, which draws none")
        if self.side == "input" and self.kind != "spectreg":
            raise ValueError(f"expected side='output' for {self.kind}; 'input' is for spectreg")
        if self.probe is None and (self.shared_probe or self.num_probes != 1):
            never = PENALTIES[self.kind].probes == "never"
            remedy = "leave both out" if never else "pass the law, for example probe='gaussian'"
            raise ValueError(
                f"expected probe= with num_probes or shared_probe, got none for {self.kind}; "
                f"{remedy}"
            )
        self.check_shapes()

    def check_types(self) -> None:
        """Refuse values of other types than the options have."""
        checks.count("num_probes", self.num_probes)
        if checks.number("scale", self.scale) == 0:
            raise ValueError("expected scale to be other than 0, got 0")
        for name in ("shared_probe", "square"):
            checks.flag(name, getattr(self, name))
        for name, such_as in _TUPLES.items():
            given = getattr(self, name)
            if not isinstance(given, tuple | list):
                raise TypeError(f"expected {name} as a tuple, {such_as} say, got {given!r:.60}")
            object.__setattr__(self, name, tuple(given))

    def expand_r1(self) -> None:
        """Replace R1 by FrobReg of networks with one output, which is the same number."""
        if self.outputs not in (None, 1):
            raise ValueError(
                f"expected outputs=1 for r1, got {self.outputs}; for more outputs declare frobreg"
            )
        object.__setattr__(self, "kind", "frobreg")
        object.__setattr__(self, "outputs", 1)

    def check_shapes(self) -> None:
        """Refuse network shapes that are impossible, or that the kit does not have."""
        if not self.restricted:
            return
        m = self.outputs
        if self.probe is not None:
            raise ValueError(
                f"expected no outputs, square or input for {self.kind} with {self.probe} probes: "
                f"the kit reads out probes with networks of other shapes; {AVERAGE}"
            )
        if PENALTIES[self.kind].of == "weights":
            raise ValueError(f"expected no outputs, square or input for {self.kind}")
        if m is not None:
            checks.count("outputs", m)
        if m == 1 and self.softmax:
            raise ValueError(f"expected outputs >= 2 for {self.kind}, which has a softmax, got 1")
        if len(self.input) not in (0, 1, 3):
            raise ValueError(
                "expected input to be the shape of one input, (d,) or (channels, height, width), "
                f"got {self.input}"
            )
        for size in self.input:
            checks.count("input sizes", size)
        d = prod(self.input) if self.input else None
        if max(m or 1, d or 1) > _MOST:
            raise ValueError(f"expected at most {_MOST} outputs and input coordinates, got more")
        if self.square and None not in (m, d) and m != d:
            raise ValueError(f"expected as many outputs as input coordinates, got {m} and {d}")

    @property
    def restricted(self) -> bool:
        """Whether it is for networks of some shapes only."""
        return self.outputs is not None or self.square or bool(self.input)

    @property
    def softmax(self) -> bool:
        """Whether the softmax takes part, which needs two logits or more."""
        return PENALTIES[self.kind].needs_classes({"loss": self.loss})

    def can_have(self, m: int) -> bool:
        """Whether m logits are possible: more than there are probes, and at least two classes."""
        return not (self.softmax and m == 1) and (self.probe is None or m > self.num_probes)

    @property
    def loss_option(self) -> dict[str, Any]:
        """The loss as an option, where the penalty has one."""
        return {"loss": self.loss} if len(PENALTIES[self.kind].forms) > 1 else {}

    def probe_shape(self, n: int, length: int) -> tuple[int, int, int]:
        """The shape of the probes of n examples: one set for all where they are shared."""
        return 1 if self.shared_probe else n, length, self.num_probes

    def __str__(self) -> str:
        factor = "" if self.scale == 1 else f"{self.scale:g} × "
        batch = {"mean": "batch mean of ", "sum": "batch sum of ", "none": "value an example of "}
        of_batch = "" if PENALTIES[self.kind].of == "weights" else batch[self.reduction]
        said = [f"{factor}{of_batch}{self.kind}"]
        if self.probe is not None:
            count = "" if self.num_probes == 1 else f"{self.num_probes} "
            shared = "shared " if self.shared_probe else ""
            side = " of the inputs" if self.side == "input" else ""
            said.append(f"{count}{shared}{self.probe} probes{side}")
        said += self.loss_option.values()
        if self.outputs is not None:
            said.append(f"{self.outputs} output{'s' * (self.outputs != 1)}")
        if self.square:
            said.append("as many outputs as inputs")
        if self.input:
            said.append(f"inputs {'×'.join(map(str, self.input))}")
        return ", ".join(said)


def declare(kind: str, **options: Any) -> Callable[[F], F]:
    """State what a penalty computes: ``@declare("spectreg", probe="sphere", scale=0.5)``.

    Parameters
    ----------
    kind, options
        The parameters of `Declaration`.

    Returns
    -------
    decorator
        Returns the function itself, with the declaration for `gradreg_verify.verify`.
    """
    declaration = Declaration(kind, **options)

    def attach(function: F) -> F:
        function.gradreg_declaration = declaration  # type: ignore[attr-defined]
        return function

    return attach
