"""Implementations in torch, wrong and right, as people write them: what the kit is tested on.

`WRONG` has a claim for each that it breaks; `RIGHT` is declared truly and must pass. Read them to
learn what goes wrong: `frobreg`, `spectreg` and its `probes`, `labelled` (DoubleBack, Onehot),
`softmax` (JacReg, confidence penalty, weight decay), `conduct` (the caller), `right`.
`models` has models for `gradreg_torch.check_model`.
"""

from gradreg_verify.mistakes.torch import (
    conduct,
    frobreg,
    labelled,
    probes,
    right,
    softmax,
    spectreg,
)
from gradreg_verify.mistakes.torch.entries import RIGHT, WRONG, Entry

__all__ = [
    "RIGHT",
    "WRONG",
    "Entry",
    "conduct",
    "frobreg",
    "labelled",
    "probes",
    "right",
    "softmax",
    "spectreg",
]
