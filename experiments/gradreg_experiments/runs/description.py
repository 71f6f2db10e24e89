"""A run: all choices that determine its numbers."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import gradreg_torch as gt
import torch

from gradreg_experiments.data import DATA_SETS
from gradreg_ref import checks
from gradreg_verify.files import read_toml

_KINDS: tuple[type[gt.Penalty], ...]
_KINDS = gt.SpectReg, gt.DoubleBack, gt.JacReg, gt.FrobReg, gt.Onehot
PENALTIES = {kind.__name__.lower(): kind for kind in _KINDS}
# Options that a run sets itself, or that a file cannot hold.
_OWN = {"probes", "generator", "wrt", "batch", "reduction", "check_values", "loss"}
_TOO_LARGE = 1 << 63  # for a whole number


@dataclass(frozen=True, kw_only=True)
class Run:
    """Minimise L̄ + λ · penalty + β · Σ p log p + ½ · weight_decay · Σ‖W‖², from one seed.

    Parameters
    ----------
    data : str
        A name of `gradreg_experiments.data.DATA_SETS`.
    train, validation : int
        Images; see `gradreg_experiments.data.split`.
    balanced : bool
        Whether every class has the same number of images.
    standardisation : {"channel", "feature"}
        A mean and deviation for each channel or pixel, from the training images alone.
    network : {"lenet", "residual"}
        See `gradreg_experiments.networks`.
    initialisation : {"scripts", "he"}
        The first weights: the law of the paper's scripts, or He's law.
    dropout, batch_norm, width, blocks, halved
        Choices of the network.
    penalty : str
        "none", or a function of `gradreg_torch`. The penalty is the batch mean, without ½.
    lam : float
        λ.
    options : mapping
        Other arguments of the penalty: probe law, mode, every, fraction, …
    confidence : float
        β, the factor of the batch mean of Σ p log p.
    weight_decay : float
        Weight decay of filters and weight matrices; biases and batch norm have none.
    unlabelled : int
        Images without labels, from the rest of the training part. A step has as many of them as of
        labelled images, and the penalty is the mean over both.
    optimiser : {"adam", "nesterov"}
        Nesterov's momentum is 0.9.
    learning_rate : float
        The first learning rate; × 0.1 from ½ of the run on, × 0.01 from ¾.
    batch, iterations : int
        Images of a step, and steps.
    seed : int
        The seed of subset, initialisation, batches, dropout and probes, a stream each. With another
        λ or penalty the draws stay the same, so that runs of a seed are paired.
    device : str
        A device of torch.
    amp : {"", "bfloat16", "float16"}
        Autocast of the forward pass.
    compile : bool
        `torch.compile` of the step.
    """

    data: str
    train: int
    network: Literal["lenet", "residual"]
    seed: int
    validation: int = 0
    balanced: bool = False
    standardisation: Literal["channel", "feature"] = "channel"
    initialisation: Literal["scripts", "he"] = "scripts"
    dropout: bool = False
    batch_norm: bool = False
    width: int = 3
    blocks: int = 3
    halved: bool = False
    penalty: Literal["none", "spectreg", "doubleback", "jacreg", "frobreg", "onehot"] = "none"
    lam: float = 0.0
    options: Mapping[str, Any] = field(default_factory=dict)
    confidence: float = 0.0
    weight_decay: float = 0.0
    unlabelled: int = 0
    optimiser: Literal["adam", "nesterov"] = "adam"
    learning_rate: float = 1e-3
    batch: int = 50
    iterations: int = 10_000
    device: str = "cpu"
    amp: Literal["", "bfloat16", "float16"] = ""
    compile: bool = False

    def __post_init__(self) -> None:
        for name, hint in get_type_hints(Run).items():
            value = getattr(self, name)
            _require_type(name, value, hint)
            if hint is float:  # 1 and 1.0 are the same run
                object.__setattr__(self, name, float(value))
        checks.choice("data", self.data, DATA_SETS)
        for name in ("train", "batch", "iterations", "width", "blocks"):
            checks.count(name, getattr(self, name))
        for name in ("validation", "unlabelled", "seed", "lam", "confidence", "weight_decay"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"expected {name} >= 0, got {getattr(self, name)}")
        if not 0 < self.learning_rate < math.inf:
            raise ValueError(f"expected learning_rate > 0, got {self.learning_rate}")
        for name in ("width", "blocks", "halved"):
            if self.network != "residual" and name in self.chosen:
                raise ValueError(
                    f"expected no {name} with network = {self.network!r}: only the residual "
                    f"net has a choice of {name}; got {getattr(self, name)}"
                )
        if self.batch > self.train:
            raise ValueError(f"expected batch <= train = {self.train}, got {self.batch}")
        _require_penalty(self)
        if 0 < self.unlabelled < self.batch:
            raise ValueError(
                f"expected unlabelled = 0 or >= batch = {self.batch}, as every step takes that "
                f"many; got {self.unlabelled}"
            )

    @property
    def chosen(self) -> dict[str, Any]:
        """The choices that differ from the defaults."""
        defaults = {f.name: f.default for f in fields(self)} | {"options": {}}
        return {name: v for name, v in asdict(self).items() if v != defaults[name]}

    @property
    def id(self) -> str:
        """A file name: the same for the same choices, and after a new key with a default, too."""
        text = json.dumps(self.chosen, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def _require_type(name: str, value: Any, hint: Any) -> None:
    """Refuse a value that is not of the type of the field; a whole number may stand for a float."""
    if get_origin(hint) is Literal:
        checks.choice(name, value, get_args(hint))
        return
    kind = get_origin(hint) or hint
    accepted = (int, float) if kind is float else kind
    if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
        raise ValueError(f"expected {name} to be a {kind.__name__}, got {value!r}")
    if kind in (int, float) and abs(value) >= _TOO_LARGE and type(value) is int:
        raise ValueError(f"expected {name} below 2^63, got a number of {len(str(value))} digits")


def _require_penalty(run: Run) -> None:
    """Refuse options that do not fit the penalty, and images without labels where it needs them."""
    if run.penalty == "none":
        if run.lam or run.options or run.unlabelled:
            raise ValueError(
                "expected a penalty for lam, options and unlabelled, got penalty = 'none' with "
                f"lam = {run.lam}, options = {dict(run.options)}, unlabelled = {run.unlabelled}"
            )
        return
    penalty = PENALTIES[run.penalty]
    for name in run.options:
        known = sorted(({"every", "fraction"} | set(penalty.names)) - _OWN)
        checks.choice(f"an option of {run.penalty}", name, known)
    generator = torch.Generator() if run.options.get("fraction", 1) != 1 else None
    penalty(**run.options, generator=generator)  # refuses what an option cannot be
    for given, other, why in (
        ("fraction", "dropout", "a mask belongs to the rows of a whole batch"),
        ("fraction", "unlabelled", "the penalty is of all rows then"),
        ("every", "compile", "a step is compiled once, with its penalty"),
    ):
        if run.options.get(given, 1) != 1 and getattr(run, other):
            raise ValueError(
                f"expected {given} = 1 with {other}, as {why}, got {run.options[given]}: leave one "
                "of the two out"
            )
    if run.unlabelled and penalty.takes_labels:
        raise ValueError(
            f"expected unlabelled = 0 for {run.penalty}, which needs labels; spectreg needs none"
        )


def from_toml(path: Path) -> Run:
    """A run from a file with the keys of `Run`; a missing key has its default.

    Raises
    ------
    ValueError
        The file is no TOML, has an unknown key, lacks a key that is needed, or has a value that
        cannot be.
    """
    table = read_toml(path, "a run in TOML")
    known = [f.name for f in fields(Run)]
    for name in table:
        checks.choice(f"a key of {path}", name, known)
    missing = [n for n in ("data", "train", "network", "seed") if n not in table]
    if missing:
        raise ValueError(
            f"expected {', '.join(missing)} in {path}, got {', '.join(table) or 'no key'}"
        )
    try:
        return Run(**table)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from error
