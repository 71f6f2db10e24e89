"""The mistakes people make in torch, as they write them; each must break the claim named.

`gradreg_verify.mistakes.catalogue` has more of them, as formulas on explicit Jacobians.
"""

import pytest
import torch
import torch.nn.functional as F
from gradreg_torch import doubleback, frobreg, jacreg, spectreg

from gradreg_verify import BY_ID, Broken, Target, bundled
from gradreg_verify.frameworks.torch.backend import TorchBackend

EXAMPLES = list(bundled())


def reduced(values, reduction):
    return {"none": values, "sum": values.sum(), "mean": values.mean()}[reduction]


def squares(v):
    return v.flatten(1).square().sum(1)


def no_create_graph(model, x, y, *, probes=None, reduction="mean", **options):
    spectreg(model, x, probes=probes, **options)
    x = x.requires_grad_()
    (v,) = torch.autograd.grad((model(x) * probes.mean(2)).sum(), x)
    return reduced(squares(v), reduction) + 0 * sum(p.sum() for p in model.parameters())


def one_probe_of_two(model, x, y, *, probes=None, **options):
    return spectreg(model, x, probes=None if probes is None else probes[:, :, :1], **options)


def batch_mean_loss(model, x, y, *, loss="cross_entropy", reduction="mean", **options):
    doubleback(model, x, y, loss=loss)
    x = x.requires_grad_()
    losses = {"cross_entropy": F.cross_entropy, "mean_squared_error": F.mse_loss}
    (v,) = torch.autograd.grad(losses[loss](model(x), y), x, create_graph=True)
    return reduced(squares(v), reduction)


def detached_probabilities(model, x, y, *, loss="cross_entropy", reduction="mean", **options):
    if loss != "cross_entropy":
        return doubleback(model, x, y, loss=loss, reduction=reduction)
    r = model(x).softmax(1).detach() - F.one_hot(y, model(x).shape[1])
    return spectreg(model, x, probes=r[:, :, None], reduction=reduction)


def log_probabilities(model, x, y, *, probes=None, **options):
    jacreg(model, x, probes=probes)
    return frobreg(lambda x: model(x).log_softmax(1), x, **options)


def probabilities_without_graph(model, x, y, *, reduction="mean", **options):
    with torch.no_grad():
        p = model(x).softmax(1)
    S = torch.diag_embed(p) - p[:, :, None] * p[:, None, :]
    if options.get("probes") is not None:
        return jacreg(model, x, reduction=reduction, **options)
    return spectreg(model, x, probes=S, reduction=reduction) * p.shape[1]


def gradient_of_the_sum(model, x, y, *, reduction="mean", **options):
    frobreg(model, x, **options)
    x = x.requires_grad_()
    (v,) = torch.autograd.grad(model(x).sum(), x, create_graph=True)
    return reduced(squares(v), reduction)


def norm_over_the_last_axis(model, x, y, *, reduction="mean", **options):
    frobreg(model, x, **options)
    x = x.requires_grad_()
    rows = [torch.autograd.grad(z.sum(), x, create_graph=True)[0] for z in model(x).unbind(1)]
    per_row = sum(row.square().sum(-1) for row in rows)
    return reduced(per_row.reshape(len(x), -1).mean(1), reduction)


def ten_classes(model, x, y, *, reduction="mean", **options):
    values = frobreg(model, x, reduction="none", **options)
    return reduced(values * model(x).shape[1] / 10, reduction)


def one_draw_for_all(model, x, y, *, shared_probe=False, **options):
    shared_probe = shared_probe or options.get("generator") is not None
    return spectreg(model, x, shared_probe=shared_probe, **options)


MISTAKES = [
    ("training-gradient", "spectreg", no_create_graph),
    ("probes-averaged", "spectreg", one_probe_of_two),
    ("probe-law", "spectreg", one_draw_for_all),
    ("values-per-example", "doubleback", batch_mean_loss),
    ("doubleback-formula", "doubleback", detached_probabilities),
    ("jacreg-formula", "jacreg", log_probabilities),
    ("jacreg-formula", "jacreg", probabilities_without_graph),
    ("frobreg-formula", "frobreg", gradient_of_the_sum),
    ("frobreg-formula", "frobreg", norm_over_the_last_axis),
    ("frobreg-formula", "frobreg", ten_classes),
]


@pytest.mark.parametrize(
    ("claim", "penalty", "function"), MISTAKES, ids=lambda a: getattr(a, "__name__", a)
)
def test_mistake_is_flagged(claim, penalty, function):
    target = Target(TorchBackend({penalty: function}))
    with pytest.raises(Broken):
        check_on_all_examples(BY_ID[claim], target)


def check_on_all_examples(claim, target):
    for e in filter(claim.applies, EXAMPLES):
        claim.check(target, e)
