"""What a user writes, with types: run and checked by `nox -s wheel` against the installed wheel."""

import numpy as np
import torch
from gradreg_torch import Linear, SpectReg, doubleback, frobreg, objective

import gradreg_ref as ref
from gradreg_verify import Report, verify


def mine(model: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
    """FrobReg."""
    x = x.detach().requires_grad_()
    z = model(x)
    rows = [torch.autograd.grad(z[:, k].sum(), x, create_graph=True)[0] for k in range(z.shape[1])]
    return torch.stack([row.square().sum() for row in rows]).sum() / len(x)


model = torch.nn.Sequential(torch.nn.Linear(5, 8), torch.nn.Tanh(), torch.nn.Linear(8, 3))
x, y = torch.randn(6, 5), torch.tensor([0, 1, 2, 0, 1, 2])
penalty = SpectReg(generator=torch.Generator().manual_seed(0), probe="sphere")
lam = Linear(0.0, 0.03, steps=10)
got = objective(model, x, y, penalty)
total: torch.Tensor = got.loss + lam(5) * got.penalty + doubleback(model, x, y)
total.backward()
each: torch.Tensor = frobreg(model, x, reduction="none")
assert each.shape == (6,)

report: Report = verify(mine, kind="frobreg")
assert report.ok, report

J = np.ones((2, 3, 4))
assert float(ref.frobreg(J)) == 12.0
