"""Attention in a checkpointed block, which the user's `backward()` computes once more."""

import warnings

from torch.utils.checkpoint import CheckpointError

from gradreg_torch._engine.columns import without_pattern
from gradreg_torch._engine.reverse import Reverse


def warn_of_other_kernels(at_x: Reverse) -> None:
    """Warn if torch's own choice of attention kernels cannot repeat a pass through the formula.

    Called outside the context in which attention runs by its formula, as `backward()` is.
    """
    try:
        at_x.vjp(without_pattern(at_x.output), create_graph=False)
    except CheckpointError:
        warnings.warn(
            "attention in a checkpointed block: your backward() computes it once more, and ends in "
            "torch's CheckpointError unless it runs inside "
            "torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH); or pass "
            "mode='finite_difference'",
            stacklevel=2,
        )
