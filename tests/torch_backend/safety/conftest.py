"""The batch of the tests of this folder."""

import pytest
import torch
from torch_backend.safety.common import SEED


@pytest.fixture
def x():
    return torch.randn(6, 4, generator=torch.Generator().manual_seed(SEED), dtype=torch.float64)
