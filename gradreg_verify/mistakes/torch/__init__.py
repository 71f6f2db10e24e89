"""Implementations in torch, wrong and right, as people write them, to test the kit.

Each entry of `WRONG` names the claim that it breaks; each entry of `RIGHT` must pass. Read them to
learn what goes wrong: `frobreg`, `spectreg`, `labelled` (DoubleBack, Onehot), `softmax` (JacReg,
confidence penalty, weight decay), `conduct` (the caller), `rare` (faults that few calls show),
`again` (faults that a second call, a second pass or many logits show), `right` and `right_draws`.
A mistake that is a formula without anything of torch in it stands in
`gradreg_verify.mistakes.catalogue` alone. `models` has models for `gradreg_torch.check_model`.
"""

from importlib import import_module

from gradreg_verify.mistakes.torch.entries import RIGHT, WRONG

__all__ = ["RIGHT", "WRONG"]

# The decorators in these files fill the two lists.
_FILES = (
    "again",
    "conduct",
    "frobreg",
    "labelled",
    "rare",
    "right",
    "right_draws",
    "softmax",
    "spectreg",
)
for _file in _FILES:
    import_module(f"{__name__}.{_file}")
