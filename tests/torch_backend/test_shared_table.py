"""A fraction cuts the inputs of the examples, and no table that all examples share."""

import copy
import pickle

import gradreg_torch as gt
import pytest
import torch
from torch import nn

X = torch.randn(6, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
TABLE = torch.randn(6, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


class Rows(nn.Module):
    """The second input has a row for each example."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 3).double()

    def forward(self, x, t):
        return self.layer(x).tanh() * self.of(t)

    def of(self, t):
        return t


class Shared(Rows):
    """The second input is a table that is as long as the batch by chance."""

    def of(self, t):
        return t.mean(0)


def penalty():
    return gt.FrobReg(fraction=0.5, generator=torch.Generator().manual_seed(0), wrt=0)


def test_each_model_is_tried():
    """A module tried its first model alone, and cut the table of the next."""
    kept = penalty()
    for _ in range(20):
        assert kept(Rows(), (X, TABLE)) > 0
        with pytest.raises(ValueError, match="expected one row per example in each input"):
            kept(Shared(), (X, TABLE))


def test_a_lambda_over_one_model_is_tried_once(monkeypatch):
    tried, own, kept, model = [], gt._rows.require_examples, penalty(), Rows()
    monkeypatch.setattr(gt._rows, "require_examples", lambda *a: tried.append(1) or own(*a))
    for _ in range(3):
        kept(lambda x, t: model(x, t), (X, TABLE))
    assert tried == [1]


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda p: pickle.loads(pickle.dumps(p))])
def test_a_module_that_has_tried_models_can_be_copied(copied):
    kept = penalty()
    kept(Rows(), (X, TABLE))
    assert copied(kept)(Rows(), (X, TABLE)) > 0
