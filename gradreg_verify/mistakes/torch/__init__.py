"""Implementations in torch, wrong and right, as people write them, to test the kit.

Each entry of `WRONG` names the claim that it breaks; each entry of `RIGHT` must pass. Read them to
learn what goes wrong: `frobreg`, `spectreg`, `labelled` (DoubleBack, Onehot), `softmax` (JacReg,
confidence penalty, weight decay), `conduct` (the caller), `rare` (faults that few calls show),
`right` and `right_draws`. A mistake that is a formula without anything of torch in it stands in
`gradreg_verify.mistakes.catalogue` alone. `models` has models for `gradreg_torch.check_model`.
"""

from gradreg_verify.mistakes.torch import (
    conduct,
    frobreg,
    labelled,
    rare,
    right,
    right_draws,
    softmax,
    spectreg,
)
from gradreg_verify.mistakes.torch.entries import RIGHT, WRONG

__all__ = [
    "RIGHT",
    "WRONG",
    "conduct",
    "frobreg",
    "labelled",
    "rare",
    "right",
    "right_draws",
    "softmax",
    "spectreg",
]
