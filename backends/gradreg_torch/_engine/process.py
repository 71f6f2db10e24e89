"""What a pass sets for the whole process, where the passes of several threads may overlap.

Attention kernels, the stance of `torch.compile` and the levels of forward mode belong to the
process and not to a thread. A pass that ends must not take them from another one.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from threading import Lock, RLock
from typing import Any

import torch
from torch.autograd import forward_ad

from gradreg_torch._engine.graph import in_transform

# Of attention: whether each is enabled, how it is, and whether it can be differentiated twice.
_SDP: Any = torch.backends.cuda
_KERNELS: Any = (
    (_SDP.math_sdp_enabled, _SDP.enable_math_sdp, True),
    (_SDP.flash_sdp_enabled, _SDP.enable_flash_sdp, False),
    (_SDP.mem_efficient_sdp_enabled, _SDP.enable_mem_efficient_sdp, False),
    (_SDP.cudnn_sdp_enabled, _SDP.enable_cudnn_sdp, False),
)


class _Shared:
    """A setting: the first thread that enters sets it, and the last one that leaves restores it.

    Parameters
    ----------
    change : callable
        Sets it, and returns what restores it.
    """

    def __init__(self, change: Callable[[], Callable[[], object]]) -> None:
        self.change, self.within, self.lock = change, 0, Lock()

    def __enter__(self) -> None:
        """Set it, unless another thread has."""
        with self.lock:
            if not self.within:
                self.restore = self.change()
            self.within += 1

    def __exit__(self, *_: object) -> None:
        """Restore it, unless another thread needs it."""
        with self.lock:
            self.within -= 1
            if not self.within:
                self.restore()


def _math_kernel() -> Callable[[], None]:
    """Leave attention to the kernel that can be differentiated twice."""
    switched = [(enable, on) for enabled, enable, on in _KERNELS if enabled() != on]
    for enable, on in switched:
        enable(on)

    def restore() -> None:
        for enable, on in switched:
            enable(not on)

    return restore


def _eager() -> Callable[[], None]:
    """Run compiled code as it was before it was compiled."""
    stance = torch.compiler.set_stance("force_eager")
    return partial(stance.__exit__, None, None, None)


# A cheaper `sdpa_kernel(SDPBackend.MATH)`, which costs a tenth of a step of a small model.
attention_by_formula = _Shared(_math_kernel)
uncompiled = _Shared(_eager)
_forward_mode = RLock()


def one_forward_mode() -> AbstractContextManager[object]:
    """A context for `torch.func.jvp`, which one thread at a time may enter.

    torch has one level of forward mode for all threads. Where two passes overlap, the end of the
    first closes the level, and the tangents of the second are 0 without a word.
    """
    return nullcontext() if torch.compiler.is_compiling() else _forward_mode


def require_no_forward_mode() -> None:
    """Raise ValueError if the process is in forward mode by other code than ours."""
    if not torch.compiler.is_compiling() and forward_ad._current_level >= 0 and not in_transform():
        raise ValueError(
            "expected no forward mode of torch in progress, got one around this call or in another "
            "thread, and torch has one for all threads; end it first, or pass mode='reverse'"
        )
