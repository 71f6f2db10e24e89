"""How ‖JᵀR‖²_F is computed: one call of `evaluate` is one pass through the user's model.

`call` checks what the user passed. `evaluation` runs the model and decides once how products with J
are computed: `reverse`, `forward` or `differences`. The other files are what these three need.
"""

from gradreg_torch._engine import checks, distributed
from gradreg_torch._engine.call import MODES, ModelOrLogits, Options
from gradreg_torch._engine.contraction import Contraction, Identity, Side
from gradreg_torch._engine.evaluation import Evaluated, evaluate
from gradreg_torch._engine.inputs import Inputs, Wrt

__all__ = [
    "MODES",
    "Contraction",
    "Evaluated",
    "Identity",
    "Inputs",
    "ModelOrLogits",
    "Options",
    "Side",
    "Wrt",
    "checks",
    "distributed",
    "evaluate",
]
