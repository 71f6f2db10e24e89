"""Backward hooks that change gradients are refused, wherever they are; those that mend them not."""

import gradreg_torch as gt
import pytest
import torch
from gradreg_torch._engine import graph, hooks_trial
from gradreg_torch._engine.call import checked
from gradreg_torch._engine.contraction import Identity
from gradreg_torch._engine.reverse import Reverse
from torch import nn
from torch.utils.checkpoint import checkpoint
from torch_backend import layers

X = torch.randn(6, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
MESSAGE = "expected backward hooks that leave gradients"


class Layer(nn.Module):
    def __init__(self, f):
        super().__init__()
        self.f = f

    def forward(self, h):
        return self.f(h)


def net(f):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 5), Layer(f), nn.Tanh(), nn.Linear(5, 3)).double()


def hooked(factor):
    def layer(h):
        h = h.sin()
        if h.requires_grad:
            h.register_hook(lambda g: factor * g)
        return h

    return net(layer)


@pytest.mark.parametrize("pre", [True, False])
def test_a_hook_that_changes_gradients(pre):
    model = net(torch.sin)
    if pre:
        handle = model[1].register_full_backward_pre_hook(lambda _, g: (0.5 * g[0],))
    else:
        handle = model[1].register_full_backward_hook(lambda _, g, __: (0.5 * g[0],))
    with pytest.raises(ValueError, match="expected backward hooks that leave gradients"):
        gt.frobreg(model, X)
    handle.remove()  # the remedy
    expected = gt.frobreg(net(torch.sin), X)
    torch.testing.assert_close(gt.frobreg(model, X), expected)
    model[1].register_full_backward_hook(lambda *_: None)  # one that only looks
    torch.testing.assert_close(gt.frobreg(model, X), expected)
    assert len(model[1]._backward_hooks) == 1


@pytest.mark.parametrize("form", ["model", "logits", "no_grad", "finite_difference"])
@pytest.mark.parametrize("of", ["tensor", "module"])
def test_every_form(form, of):
    model = hooked(3) if of == "tensor" else net(torch.sin)
    if of == "module":
        model[1].register_full_backward_hook(lambda _, g, __: (3 * g[0],))
    x = X.clone().requires_grad_()
    mode = form if form == "finite_difference" else "auto"
    with torch.set_grad_enabled(form != "no_grad"), pytest.raises(ValueError, match=MESSAGE):
        gt.frobreg(model(x), x) if form == "logits" else gt.frobreg(model, X, mode=mode)


def test_hooks_that_the_second_pass_cannot_leave_out(monkeypatch):
    """They are refused; `zip` raised its own error."""
    found, model = iter([torch.ones_like(X)[None]]), hooked(3)
    monkeypatch.setattr(hooks_trial, "without_hooks", lambda *_: next(found, None))
    with pytest.raises(ValueError, match=MESSAGE):
        gt.frobreg(model, X)


def test_hooks_of_tensors_that_only_look():
    torch.testing.assert_close(gt.frobreg(hooked(1), X), gt.frobreg(net(torch.sin), X))


def test_hooks_of_tiny_products():
    """In float64 the square of 1e-30 is a number."""
    model = hooked(3)
    with pytest.raises(ValueError, match=MESSAGE):
        gt.frobreg(lambda x: 1e-30 * model(x), X)


class Noisy(torch.autograd.Function):
    @staticmethod
    def forward(ctx, t):
        return t.view_as(t)

    @staticmethod
    def backward(ctx, g):
        return g + 0.3 * torch.randn_like(g)


def checkpointed(**options):
    """A checkpoint whose backward pass draws the mask of a dropout."""
    drop = nn.Dropout(0.5)
    return lambda h: checkpoint(lambda t: drop(t).tanh(), h, use_reentrant=False, **options)


@pytest.mark.parametrize("f", [Noisy.apply, checkpointed(preserve_rng_state=False)])
def test_a_backward_pass_that_draws_random_numbers(f):
    """There are no hooks to be removed, as the message asked for."""
    with pytest.raises(ValueError, match=r"draws random numbers: pass preserve_rng_state=True"):
        gt.frobreg(net(f), X)
    gt.frobreg(net(checkpointed()), X)  # the remedy


class Implicit(nn.Module):
    """z = tanh(W z + U x): the graph has one step of the solver, and a hook solves backwards."""

    def __init__(self, by_hook):
        super().__init__()
        torch.manual_seed(0)
        self.W, self.U = nn.Parameter(0.2 * torch.randn(5, 5)), nn.Parameter(torch.randn(5, 4))
        self.by_hook = by_hook
        self.double()

    def step(self, z, x):
        return torch.tanh(z @ self.W.T + x @ self.U.T)

    def forward(self, x):
        z = x.new_zeros(len(x), 5)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.by_hook):
            for _ in range(60):
                z = self.step(z, x)
        if not self.by_hook:
            return z
        z = self.step(z, x)
        before = z.detach().requires_grad_()
        after = self.step(before, x)

        def solve(grad):
            found = grad
            for _ in range(60):
                found = grad + torch.autograd.grad(after, before, found, retain_graph=True)[0]
            return found

        if z.requires_grad:
            z.register_hook(solve)
        return z


def test_a_hook_that_makes_the_gradient_right():
    """An implicit layer: right in value and by finite differences, and only once differentiable."""
    unrolled, implicit = Implicit(by_hook=False), Implicit(by_hook=True)
    value = gt.frobreg(unrolled, X)
    with torch.no_grad():
        torch.testing.assert_close(gt.frobreg(implicit, X), value.detach())
    got = gt.frobreg(implicit, X, mode="finite_difference")
    torch.testing.assert_close(got, value)
    found, expected = (
        torch.autograd.grad(p, m.W)[0] for p, m in ((got, implicit), (value, unrolled))
    )
    assert (found - expected).norm() < 1e-8 * expected.norm()
    with pytest.raises(ValueError, match="differentiated twice"):
        gt.frobreg(implicit, X, mode="reverse")


# Of these neither the engine nor a walk has a product; a penalty runs a compiled part uncompiled.
WITHOUT = ("checkpoint, reentrant", "compiled part")


@pytest.mark.parametrize("name", [name for name in layers.CASES if name not in WITHOUT])
def test_a_product_without_hooks_is_that_of_the_engine(name):
    """Nothing of this table is left undecided."""
    model, x = layers.made(layers.CASES[name])
    x = x.detach().requires_grad_()
    z = model(x)
    at_x = Reverse(checked(z, x, Identity(), True, False), z)
    r = hooks_trial.without_pattern(z)
    (found,) = hooks_trial.without_hooks(at_x, r, graph.nodes(z))
    torch.testing.assert_close(found, at_x.vjp(r, create_graph=False)[0])
