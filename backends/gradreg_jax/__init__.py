"""gradreg_jax: the penalties of `gradreg_ref` as pure functions ``fn(f, params, x, *, key, …)``.

The names and shapes are the same. The functions compute products with J and never J itself, and run
under `jit`, `grad` and `vmap`. You pass a key for the probes.
"""

from gradreg_jax.check import check_model
from gradreg_jax.confidence_penalty import confidence_penalty
from gradreg_jax.contract import contract
from gradreg_jax.convolution import conv
from gradreg_jax.doubleback import doubleback
from gradreg_jax.frobreg import frobreg
from gradreg_jax.jacreg import jacreg
from gradreg_jax.objective import Objective, objective
from gradreg_jax.onehot import onehot
from gradreg_jax.probes import draw_probes
from gradreg_jax.report import ModelReport
from gradreg_jax.spectreg import spectreg
from gradreg_jax.weight_decay import weight_decay

__all__ = [
    "ModelReport",
    "Objective",
    "check_model",
    "confidence_penalty",
    "contract",
    "conv",
    "doubleback",
    "draw_probes",
    "frobreg",
    "jacreg",
    "objective",
    "onehot",
    "spectreg",
    "weight_decay",
]
