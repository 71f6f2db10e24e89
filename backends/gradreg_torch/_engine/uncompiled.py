"""Penalties that torch leaves out of what it compiles; with fullgraph=True it gives the reason."""

from typing import Any

import torch

from gradreg_torch._engine.evaluation import evaluated_here

_disable: Any = torch.compiler.disable  # has no types
drawing = _disable(
    evaluated_here,
    reason="expected probes drawn outside the compiled step, which no generator can enter; pass "
    "objective(..., probes=draw_probes(...)), or leave out fullgraph=True",
)
by_differences = _disable(
    evaluated_here,
    reason="expected mode='reverse' or 'forward' in a compiled step, got finite differences; or "
    "leave out fullgraph=True",
)
