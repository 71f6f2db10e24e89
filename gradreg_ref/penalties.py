"""The table of penalties: one row each. Code that asks for a penalty's name reads this table.

Every backend has the same names: ``gradreg_torch.<name>`` and ``gradreg_jax.<name>`` compute the
row called `name`, and ``docs/<name>.md`` derives it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from gradreg_ref import checks
from gradreg_ref.confidence_penalty import confidence_penalty
from gradreg_ref.contract import contract
from gradreg_ref.doubleback import doubleback
from gradreg_ref.frobreg import frobreg
from gradreg_ref.jacreg import jacreg
from gradreg_ref.networks import Network
from gradreg_ref.onehot import onehot
from gradreg_ref.spectreg import spectreg
from gradreg_ref.typing import Array
from gradreg_ref.weight_decay import weight_decay


@dataclass(frozen=True)
class Case:
    """The arguments of a formula.

    Parameters
    ----------
    network : Network
        The network; its parameters may be complex.
    z, J : array (n, k), array (n, k, i)
        Its logits and their Jacobian at the inputs.
    y : array or None
        Labels or targets.
    """

    network: Network
    z: Array
    J: Array
    y: Any

    @classmethod
    def at(cls, network: Network, x: Array, y: Any = None) -> "Case":
        """Build the case of a network at inputs x (n, …)."""
        return cls(network, network.forward(x), network.jacobian(x), y)


Formula = Callable[..., Array]


@dataclass(frozen=True)
class Penalty:
    """One row of the table of penalties.

    Parameters
    ----------
    name : str
        The function's name in this package and in every backend.
    title : str
        How prose calls the penalty.
    formula : callable
        ``formula(case, **options)`` evaluates the function of that name at a `Case`.
    of : {"jacobian", "logits", "weights"}
        What the penalty is a function of. Only a penalty of the Jacobian is ‖JᵀR‖²_F.
    labels : bool
        Whether the function takes labels y.
    softmax : bool
        Whether the softmax takes part, which needs two logits or more (in doubleback: if the loss
        is cross-entropy).
    probes : {"never", "optional", "always"}
        Whether R is made of random probes.
    constant_R : bool
        Whether R does not depend on the parameters θ. An R that does is never detached.
    given_R : bool
        Whether the user passes R, so that a name alone does not say what is computed.
    forms : tuple of mappings
        Options by which the penalty has another formula. Checks exercise each of them.
    """

    name: str
    title: str
    formula: Formula
    of: Literal["jacobian", "logits", "weights"] = "jacobian"
    labels: bool = False
    softmax: bool = False
    probes: Literal["never", "optional", "always"] = "never"
    constant_R: bool = True
    given_R: bool = False
    forms: tuple[Mapping[str, Any], ...] = ({},)

    def needs_classes(self, options: Mapping[str, Any]) -> bool:
        """Return whether the formula has a softmax, which needs at least two logits."""
        return self.softmax and options.get("loss", "cross_entropy") == "cross_entropy"


def _squares(z: Any, y: Any) -> Any:
    """Return an R that depends on the logits: z², one column."""
    del y
    return (z * z)[:, :, None]


def _labels(z: Any, y: Any) -> Any:
    """Return an R that depends on the labels too: (1 + y) z, one column."""
    return (z * (1 + y[:, None]))[:, :, None]


_ROWS = (
    Penalty("frobreg", "FrobReg", lambda c, **o: frobreg(c.J, **o)),
    Penalty("spectreg", "SpectReg", lambda c, **o: spectreg(c.J, **o), probes="always"),
    Penalty(
        "doubleback",
        "DoubleBack",
        lambda c, **o: doubleback(c.J, c.z, c.y, **o),
        labels=True,
        softmax=True,
        constant_R=False,
        forms=({"loss": "mean_squared_error"}, {}),
    ),
    Penalty(
        "jacreg",
        "JacReg",
        lambda c, **o: jacreg(c.J, c.z, **o),
        softmax=True,
        probes="optional",
        constant_R=False,
    ),
    Penalty(
        "contract",
        "Contract",
        lambda c, R, **o: contract(c.J, R, c.y, logits=c.z, **o),
        labels=True,
        constant_R=False,
        given_R=True,
        forms=({"R": _squares}, {"R": _labels}),
    ),
    Penalty("onehot", "Onehot", lambda c, **o: onehot(c.J, c.y, **o), labels=True),
    Penalty(
        "confidence_penalty",
        "the confidence penalty",
        lambda c, **o: confidence_penalty(c.z, **o),
        of="logits",
        softmax=True,
    ),
    Penalty(
        "weight_decay",
        "weight decay",
        lambda c, **_: weight_decay(c.network.weights()),
        of="weights",
    ),
)
PENALTIES: dict[str, Penalty] = {row.name: row for row in _ROWS}


def evaluate(penalty: str, network: Network, x: Array, y: Any = None, **options: Any) -> Array:
    """Evaluate the named penalty at a network's logits and Jacobian; complex-safe."""
    checks.choice("penalty", penalty, PENALTIES)
    return PENALTIES[penalty].formula(Case.at(network, x, y), **options)
