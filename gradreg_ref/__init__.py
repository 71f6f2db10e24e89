"""gradreg_ref: penalties on input gradients, written out in full. NumPy and SciPy only.

Every penalty is one contraction ‖JᵀR‖²_F of the logits Jacobian J[n, k, i]; see
`gradreg_ref.contraction`. Backends compute the same numbers without J.
"""

from gradreg_ref.confidence_penalty import confidence_penalty
from gradreg_ref.contract import contract
from gradreg_ref.contraction import reduce
from gradreg_ref.doubleback import doubleback
from gradreg_ref.frobreg import frobreg
from gradreg_ref.jacreg import jacreg
from gradreg_ref.onehot import onehot
from gradreg_ref.spectreg import spectreg
from gradreg_ref.weight_decay import weight_decay

__version__ = "0.1.0"
__all__ = [
    "confidence_penalty",
    "contract",
    "doubleback",
    "frobreg",
    "jacreg",
    "onehot",
    "reduce",
    "spectreg",
    "weight_decay",
]
