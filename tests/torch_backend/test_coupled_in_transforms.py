"""Examples that see each other: refused in each mode, and where a transform shows values."""

import gradreg_torch as gt
import pytest
import torch
from torch import nn
from torch.func import functional_call, grad_and_value

# torch.compile looks at the gradient of each tensor that it meets.
pytestmark = pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")
X = torch.randn(6, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
R = torch.randn(6, 3, 1, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
V = torch.randn(6, 4, 1, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


class Normed(nn.Module):
    """Batch norm by hand."""

    def forward(self, h):
        return (h - h.mean(0)) / (h.var(0, unbiased=False) + 1e-5).sqrt()


class Deviation(nn.Module):
    """A deviation over the batch beside each example."""

    def forward(self, h):
        return torch.cat([h[:, 1:], h.std(0).mean().expand(len(h), 1)], 1)


class Time(nn.Module):
    """An LSTM that takes the batch for time."""

    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(5, 5)

    def forward(self, h):
        return self.lstm(h[:, None])[0][:, 0]


COUPLING = {"batch norm by hand": Normed, "a deviation": Deviation, "the wrong axis": Time}


def net(layer):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 5), layer, nn.Tanh(), nn.Linear(5, 3)).double()


def by_func(model, **options):
    """The penalty as `torch.func.grad` sees it."""

    def value(parameters):
        return gt.spectreg(lambda x: functional_call(model, parameters, (x,)), X, **options)

    return grad_and_value(value)({k: p.detach() for k, p in model.named_parameters()})[1]


def compiled(model, **options):
    """The penalty in a compiled step."""
    torch.compiler.reset()
    step = torch.compile(lambda x: gt.spectreg(model, x, **options), backend="eager")
    return step(X).detach()


@pytest.mark.parametrize("mode", ["reverse", "forward", "finite_difference"])
@pytest.mark.parametrize("name", COUPLING)
def test_each_eager_mode_refuses_what_would_be_another_number(name, mode):
    model, probes = net(COUPLING[name]()), V if mode == "forward" else R
    for call in (
        lambda: gt.frobreg(model, X, mode=mode),
        lambda: gt.jacreg(model, X, mode=mode),
        lambda: gt.spectreg(model, X, probes=probes, mode=mode, batchnorm="error"),
        lambda: gt.spectreg(model, X, probes=probes, mode=mode, batchnorm="eval"),
        lambda: gt.spectreg(model, X, probes=probes[:1], mode=mode, shared_probe=True),
    ):
        with pytest.raises(ValueError, match="examples depend on each other"):
            call()


@pytest.mark.parametrize(
    ("path", "name"),  # torch.compile breaks at an LSTM
    [(by_func, name) for name in COUPLING] + [(compiled, name) for name in list(COUPLING)[:2]],
)
def test_in_transforms_the_default_is_the_product_of_the_batch(name, path):
    model = net(COUPLING[name]())
    J = torch.autograd.functional.jacobian(model, X)
    expected = torch.einsum("nkci,nkq->ci", J, R).square().sum(1).mean()
    torch.testing.assert_close(path(model, probes=R), expected)


def test_in_transforms_torch_s_batch_norm_is_found():
    """In a compiled step too, see test_batch_norm."""
    with pytest.raises(ValueError, match="batchnorm='error'"):
        by_func(net(nn.BatchNorm1d(5)), probes=R, batchnorm="error")


def batched(model, **options):
    """The penalties of an ensemble of one."""
    parameters = {k: p.detach()[None] for k, p in model.named_parameters()}

    def value(parameters):
        return gt.spectreg(lambda x: functional_call(model, parameters, (x,)), X, **options)

    return torch.func.vmap(value)(parameters)


@pytest.mark.parametrize("path", [batched, compiled])
def test_another_one_is_not_where_no_value_can_be_read(path):
    """As docs/modes.md says; an eager call before finds it."""
    model = net(Normed())
    assert path(model, probes=R, batchnorm="error") == path(model, probes=R)


@pytest.mark.parametrize("options", [{"batchnorm": "error"}, {"batchnorm": "eval"}])
@pytest.mark.parametrize("name", COUPLING)
def test_torch_func_grad_finds_each(name, options):
    """It added the derivatives of all examples before it squared them, without a word."""
    with pytest.raises(ValueError, match="examples depend on each other"):
        by_func(net(COUPLING[name]()), probes=R, **options)
    model = net(COUPLING[name]())
    with pytest.raises(ValueError, match="examples depend on each other"):
        torch.func.grad(
            lambda p: gt.frobreg(lambda x: functional_call(model, p, (x,)), X),
        )(dict(model.named_parameters()))


def test_torch_func_grad_finds_rows_of_another_example():
    model, batch = net(nn.Identity()), torch.tensor([0, 0, 1, 1, 2, 2])

    def value(parameters, own):
        def pooled(x):
            h = functional_call(model, parameters, (x,))
            return torch.zeros(3, 3, dtype=h.dtype).index_add(0, own, h)

        return gt.frobreg(pooled, X, batch=batch)

    parameters = {k: p.detach() for k, p in model.named_parameters()}
    assert torch.func.grad(value)(parameters, batch)["3.weight"].any()
    with pytest.raises(ValueError, match="reach the logits of its own example alone"):
        torch.func.grad(value)(parameters, batch.roll(1))


class Unrecorded(torch.autograd.Function):
    """t³, whose backward pass records no graph."""

    generate_vmap_rule = True

    @staticmethod
    def forward(t):
        return t**3

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(inputs[0])

    @staticmethod
    def backward(ctx, grad):
        return (3 * ctx.saved_tensors[0].detach() ** 2 * grad).detach()


class Cubes(nn.Module):
    def forward(self, h):
        return Unrecorded.apply(h)


def test_torch_func_grad_finds_a_missing_second_derivative():
    with pytest.raises(ValueError, match="records no graph for a part"):
        by_func(net(Cubes()), probes=R)


def test_right_models_are_tried_in_few_passes(monkeypatch):
    from gradreg_torch._engine import functional_trial

    tried, own, model = [], functional_trial.column, net(nn.Tanh())
    monkeypatch.setattr(functional_trial, "column", lambda *args: tried.append(1) or own(*args))
    numbers = []
    for _ in range(9):
        by_func(model, probes=R)
        numbers.append(len(tried))
    assert numbers == [1, 2, 2, 3, 3, 3, 3, 4, 4]
