"""gradreg_torch: the penalties of `gradreg_ref` by automatic differentiation in torch.

The names and shapes are the same. The functions compute products with J and never J itself. Each
penalty is a function ``fn(model, x, …)``, or ``fn(logits, x, …)`` to reuse a graph, and a module.
`objective` is for training.
"""

from gradreg_torch._engine import MODES
from gradreg_torch.check import check_model
from gradreg_torch.confidence_penalty import confidence_penalty
from gradreg_torch.contract import Contract, contract
from gradreg_torch.doubleback import DoubleBack, doubleback
from gradreg_torch.frobreg import FrobReg, frobreg
from gradreg_torch.jacreg import JacReg, jacreg
from gradreg_torch.objective import Objective, objective
from gradreg_torch.onehot import Onehot, onehot
from gradreg_torch.penalty import Penalty
from gradreg_torch.probes import draw_probes, rank_generator
from gradreg_torch.schedules import Constant, Linear
from gradreg_torch.spectreg import SpectReg, spectreg
from gradreg_torch.weight_decay import weight_decay

__all__ = [
    "MODES",
    "Constant",
    "Contract",
    "DoubleBack",
    "FrobReg",
    "JacReg",
    "Linear",
    "Objective",
    "Onehot",
    "Penalty",
    "SpectReg",
    "check_model",
    "confidence_penalty",
    "contract",
    "doubleback",
    "draw_probes",
    "frobreg",
    "jacreg",
    "objective",
    "onehot",
    "rank_generator",
    "spectreg",
    "weight_decay",
]
