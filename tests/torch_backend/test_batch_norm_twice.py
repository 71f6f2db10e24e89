"""The closed form of batch norm's double backward: torch's numbers, and where it stands aside."""

from contextlib import nullcontext

import gradreg_torch as gt
import pytest
import torch
from gradreg_torch._engine import batch_norm_twice
from gradreg_torch._engine.batch_norm_twice import TwiceDifferentiable
from torch import nn
from torch.utils.checkpoint import checkpoint

CASES = {
    "of vectors": (nn.BatchNorm1d, (7, 3)),
    "of sequences": (nn.BatchNorm1d, (4, 3, 5)),
    "of images": (nn.BatchNorm2d, (6, 3, 4, 2)),
    "of volumes": (nn.BatchNorm3d, (3, 3, 2, 2, 3)),
}


def second_derivatives(make, shape, closed, **options):
    """∇ of a function of the gradients in x, w and b, and the running statistics."""
    torch.manual_seed(0)
    norm = make(3, **options).double().train()
    x = (torch.randn(shape) + 2).double().requires_grad_()
    parameters = list(norm.parameters())
    with torch.no_grad():
        for p in parameters:
            p.uniform_(0.5, 2.0)
    with TwiceDifferentiable() if closed else nullcontext():
        z = torch.tanh(norm(x))
    first = torch.autograd.grad(z, [x, *parameters], torch.randn_like(z), create_graph=True)
    total = sum((g**3).sum() for g in first) + first[0].square().sum()
    return [*torch.autograd.grad(total, [x, *parameters]), *norm.buffers()]


@pytest.mark.parametrize("options", [{}, {"affine": False}, {"track_running_stats": False}])
@pytest.mark.parametrize("case", CASES)
def test_the_closed_form_has_torch_s_derivatives(case, options):
    make, shape = CASES[case]
    ours = second_derivatives(make, shape, True, **options)
    torchs = second_derivatives(make, shape, False, **options)
    for a, b in zip(ours, torchs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-13)


def test_a_wrong_term_would_be_seen(monkeypatch):
    """Planted: the centred inputs' term left out."""
    right = batch_norm_twice.combined
    monkeypatch.setattr(
        batch_norm_twice, "combined", lambda *t: right(*t[:2], t[-1]) if len(t) == 4 else right(*t)
    )
    with pytest.raises(AssertionError):
        test_the_closed_form_has_torch_s_derivatives("of images", {})


def net():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3)
    ).train()


def names(model, x):
    """Of the nodes of the pass that a penalty makes."""
    found = []
    right = gt._engine.evaluation.graph.nodes

    def nodes(output):
        found.extend(type(node).__name__ for node in right(output))
        return right(output)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gt._engine.evaluation.graph, "nodes", nodes)
        gt.spectreg(model, x, generator=torch.Generator())
    return {name for name in found if "BatchNorm" in name}


def test_penalties_use_it_where_it_is_right():
    x = torch.randn(5, 2, 4, 4)
    assert names(net(), x) == {"_ClosedFormBatchNormBackward"}
    assert names(net().eval(), x) == {"NativeBatchNormBackward0"}
    assert names(net().bfloat16(), x.bfloat16()) == {"NativeBatchNormBackward0"}


def test_a_checkpointed_block_keeps_torch_s():
    """It is computed again without our mode."""
    model, x = net(), torch.randn(5, 2, 4, 4)
    block = nn.Sequential(model[0], model[1])

    class Checkpointed(nn.Module):
        def __init__(self):
            super().__init__()
            self.block, self.rest = block, model[2:]

        def forward(self, x):
            return self.rest(checkpoint(self.block, x, use_reentrant=False))

    value = gt.spectreg(Checkpointed(), x, generator=torch.Generator())
    expected = gt.spectreg(model, x, generator=torch.Generator())
    torch.testing.assert_close(value, expected)


def test_a_third_derivative_is_refused():
    x = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    norm = nn.BatchNorm1d(3).double().train()
    with TwiceDifferentiable():
        z = torch.tanh(norm(x))
    (v,) = torch.autograd.grad(z.square().sum(), x, create_graph=True)
    (w,) = torch.autograd.grad(v.square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        w.square().sum().backward()
