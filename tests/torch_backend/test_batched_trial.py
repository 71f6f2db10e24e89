"""Products of several columns at once: each input is compared alone."""

import pytest
import torch
from gradreg_torch._engine import batched_trial


class Pass:
    """A pass of two inputs, one of them a million times as large; `off` is added to the small."""

    def __init__(self, off):
        self.off = off

    def vjp(self, r, create_graph, batched=False):
        return 1e6 * r, r + self.off * batched


@pytest.mark.parametrize("off", [0.0, 1.0])
def test_a_small_input_does_not_hide_behind_a_large_one(off):
    r = torch.cos(torch.arange(6.0)).reshape(2, 3)
    assert batched_trial.wrong(Pass(off), r, 1e-3) == bool(off)
