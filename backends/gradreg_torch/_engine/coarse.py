"""Does a device round the factors of products in float32 to fewer bits?

TF32 has 10 bits, and is the default of convolutions on NVIDIA's GPUs. Finite differences drown in
such rounding as in that of float16: gradients were 5 to 9 % off, one-sided ones 60 to 180 %.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from gradreg_torch._engine import checks
from gradreg_torch._engine.columns import distance, norm, without_pattern
from gradreg_torch._engine.float64 import in_float64

_C = 1.3  # no power of two: its products are rounded in another way
MUCH = 64 * torch.finfo(torch.float32).eps
_SIZES = (4, 16, 32, 32), (16, 16, 3, 3)  # of a convolution; smaller ones may take other programs
_SIDE = 256  # of a matrix
_Back = Callable[[Tensor], tuple[Tensor, ...]]


def is_coarse(back: _Back, z: Tensor, dtypes: set[torch.dtype]) -> bool:
    """Whether a pass with these dtypes has such products, from r ↦ Jᵀr; on the CPU mostly not.

    A sum that cancels shows as much rounding: the device must show it for one product too. Finite
    differences end autocast beside x, so the pass at x does not show how float32 is rounded.
    """
    autocast = bool(dtypes.intersection(checks.HALF))
    shown = autocast or (torch.float32 in dtypes and of_pass(back, z) > MUCH)
    return shown and _of_float32(z.device) > MUCH


def require_fine(back: _Back, z: Tensor, dtypes: set[torch.dtype]) -> None:
    """Raise ValueError for such products, looked at anew: settings may have changed."""
    if is_coarse(back, z, dtypes):
        raise ValueError(
            "expected products in float32 for finite differences, got factors that the device "
            "rounds to fewer bits (TF32), in which they drown; set "
            "torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False "
            "(and torch.backends.fp32_precision = 'ieee' if you use this newer name), or use "
            "mode='reverse'"
        )


def of_pass(back: _Back, z: Tensor) -> float:
    """‖Jᵀ(c r) / c − Jᵀr‖ as a part of ‖Jᵀr‖."""
    products = back(r := without_pattern(z))
    off, size = distance([v / _C for v in back(_C * r)], products), norm(products)
    return float(off / size) if 0 < size < float("inf") else 0.0


def _of_float32(device: torch.device) -> float:
    """The larger rounding of a convolution and of a product of matrices."""
    x, w, A = (
        without_pattern(torch.empty(sizes, device=device)) for sizes in (*_SIZES, (_SIDE, _SIDE))
    )
    with torch.no_grad(), torch.autocast(device.type, enabled=False):
        return max(_apart(torch.conv2d, x, w), _apart(torch.matmul, A, A))


def _apart(product: Callable[[Tensor, Tensor], Tensor], a: Tensor, b: Tensor) -> float:
    """How far a product is from that in float64, as a part of it."""
    right = product(in_float64(a), in_float64(b))
    return float((in_float64(product(a, b)) - right).norm() / right.norm())
