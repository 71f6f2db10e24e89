"""The settings of the paper, from the authors' scripts, and settings of the embedded data set."""

from dataclasses import dataclass, field, replace
from typing import Any

from gradreg_experiments.runs import Run
from gradreg_ref.conventions import equal_lam

_TEMPLATE = 0  # stands for a seed that is set later


@dataclass(frozen=True)
class Setting:
    """The settings of a data set in the tables.

    Parameters
    ----------
    title : str
        The name of the data set in tables.
    run : Run
        The run without penalty and weight decay.
    weight_decay : float
        The weight decay of runs with weight decay.
    lams : mapping
        λ of each arm with weight decay. For CP it is β of a sum over the batch, as in the scripts.
    lams_without : mapping
        λ of arms that have another λ without weight decay.
    """

    title: str
    run: Run
    weight_decay: float
    lams: dict[str, float]
    lams_without: dict[str, float] = field(default_factory=dict)


_LENET = Run(
    data="mnist", train=2000, validation=10_000, network="lenet", dropout=True, seed=_TEMPLATE
)
_RESIDUAL = Run(
    data="cifar-10",
    train=2000,
    validation=2000,
    network="residual",
    batch_norm=True,
    optimiser="nesterov",
    learning_rate=0.01,
    batch=128,
    iterations=50_000,
    seed=_TEMPLATE,
)
_RESIDUAL_100 = replace(_RESIDUAL, data="cifar-100")
# Not in the paper: what comes with scikit-learn, so that every command runs on a new machine.
_DIGITS = replace(_LENET, data="digits", train=200, validation=200, iterations=1000)
_LAMS: dict[str, float] = {"SpectReg": 0.03, "DoubleBack": 50, "CP": 0.01, "JacReg": 1}
_LAMS_10: dict[str, float] = {"SpectReg": 0.003, "DoubleBack": 1, "CP": 0.003}
_LAMS_100: dict[str, float] = {"SpectReg": 3e-5, "DoubleBack": 0.003, "CP": 1e-5}
SETTINGS = {
    "mnist": Setting("MNIST", _LENET, 5e-4, _LAMS),
    "cifar-10": Setting("CIFAR-10", _RESIDUAL, 3e-3, _LAMS_10, {"SpectReg": 0.001}),
    "cifar-100": Setting("CIFAR-100", _RESIDUAL_100, 3e-3, _LAMS_100, {"SpectReg": 0.001}),
    "digits": Setting("digits", _DIGITS, 5e-4, _LAMS),
}
# Training-set size (MNIST): n, and λ of each arm.
SIZES: dict[int, dict[str, float]] = {
    500: _LAMS | {"JacReg": 0.3},
    1000: _LAMS | {"JacReg": 0.03},
    2000: _LAMS,
    3000: _LAMS | {"DoubleBack": 20},
    5000: {"SpectReg": 0.003, "DoubleBack": 20, "CP": 0.1, "JacReg": 1},
    10_000: {"SpectReg": 0.01, "DoubleBack": 5, "CP": 0.1, "JacReg": 1},
    15_000: {"SpectReg": 0.01, "DoubleBack": 2, "CP": 0.01, "JacReg": 1},
    20_000: {"SpectReg": 0.001, "DoubleBack": 2, "CP": 0.03, "JacReg": 0.3},
}
# The scripts take JacReg row by row, with a product for each class. One probe of the same mean
# costs a tenth of that.
ARMS: dict[str, dict[str, Any]] = {
    "baseline": {},
    "SpectReg": {"penalty": "spectreg"},
    "DoubleBack": {"penalty": "doubleback"},
    "CP": {},
    "JacReg": {"penalty": "jacreg", "options": {"num_probes": 1}},
}


def arm(run: Run, name: str, lam: float) -> Run:
    """The run with the penalty of an arm."""
    if name == "CP":
        beta = equal_lam("confidence_penalty_scripts", lam, n=run.batch)
        return replace(run, confidence=beta)
    return replace(run, lam=float(lam), **ARMS[name])
