"""Right where most tests look: other shapes and modes, and what is done to the caller."""

from typing import Any

import torch
from torch import Tensor, nn

from gradreg_verify.mistakes.torch.entries import own, rows, squares, vjp, wrong


def exact(model: nn.Module, x: Tensor) -> Tensor:
    """‖J‖²_F of every example."""
    x = own(x)
    return squares(rows(model(x), x))


@wrong("training-gradient", "batch", "mean of means of 16", "chunks to save memory", "frobreg")
def mean_of_chunk_means(model: nn.Module, x: Tensor) -> Tensor:
    return torch.stack([exact(model, part).mean() for part in torch.split(x, 16)]).mean()


@wrong("training-gradient", "batch", "mean over distinct rows", "a cache by x", "frobreg")
def repeated_rows_once(model: nn.Module, x: Tensor) -> Tensor:
    return exact(model, torch.unique(x, dim=0)).mean()


@wrong("training-gradient", "shape", "ten logits of m", "MNIST scripts", "frobreg")
def ten_logits_at_most(model: nn.Module, x: Tensor) -> Tensor:
    x = own(x)
    return squares(rows(model(x), x)[:, :10]).mean()


@wrong("training-gradient", "shape", "mean over an axis of x", "sequences (n, t, i)", "frobreg")
def mean_over_time(model: nn.Module, x: Tensor) -> Tensor:
    value = exact(model, x).mean()
    return value / x.shape[1] if x.ndim == 3 else value


@wrong("training-gradient", "conduct", "0 where x requires grad", "x.grad by hooks", "frobreg")
def none_where_x_requires_grad(model: nn.Module, x: Tensor) -> Tensor:
    return exact(model, x).mean() * (0 if x.requires_grad else 1)


@wrong("training-gradient", "conduct", "twice the value in training", "a warm-up", "frobreg")
def another_value_in_training_mode(model: nn.Module, x: Tensor) -> Tensor:
    value = exact(model, x).mean()
    return value + value.detach() if model.training else value


@wrong("repeatable", "conduct", "‖Jᵀe_y‖², and y changed", "y −= 1 for a shift", "onehot")
def labels_changed_in_place(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    x = own(x)
    z_y = model(x).gather(1, y[:, None]).sum()
    value = squares(torch.autograd.grad(z_y, x, create_graph=True)[0]).mean()
    y.zero_()
    return value


@wrong("repeatable", "conduct", "‖J‖²_F, and z changed", "z −= max for stability", "frobreg")
def logits_changed_in_place(logits: Tensor, x: Tensor) -> Tensor:
    value = squares(rows(logits, x)).mean()
    logits.data -= logits.data.amax(1, keepdim=True)
    return value


@wrong("repeatable", "conduct", "‖J‖²_F, and a hook", "features by a hook", "frobreg")
def a_hook_left_behind(model: nn.Module, x: Tensor) -> Tensor:
    model.register_forward_pre_hook(lambda *_: None)
    return exact(model, x).mean()


@wrong("repeatable", "conduct", "‖J‖²_F, and a model in float32", "model.float()", "frobreg")
def the_model_made_single(model: nn.Module, x: Tensor) -> Tensor:
    value = exact(model, x).mean()
    model.float()
    return value


@wrong("repeatable", "conduct", "‖J‖²_F, and x.requires_grad", "requires_grad_ on x", "frobreg")
def requires_grad_left_on(model: nn.Module, x: Tensor) -> Tensor:
    x.requires_grad_()
    return squares(rows(model(x), x)).mean()


KEPT: list[Any] = []


@wrong("repeatable", "conduct", "‖J‖²_F, and every graph kept", "history.append(reg)", "frobreg")
def graphs_kept_in_a_list(model: nn.Module, x: Tensor) -> Tensor:
    value = exact(model, x).mean()
    KEPT.append(value)
    return value


def projected(model: nn.Module, x: Tensor, r: Any) -> Tensor:
    """‖Jᵀr‖² for r(z)."""
    x = own(x)
    z = model(x)
    return squares(vjp(z, x, r(z))).mean()


@wrong("probe-law", "sampler", "the last row at 0.7 r", "a padded batch", "spectreg")
def the_last_row_narrower(model: nn.Module, x: Tensor) -> Tensor:
    def probes(z: Tensor) -> Tensor:
        r = torch.randn_like(z)
        return torch.cat([r[:-1], 0.7 * r[-1:]]) if len(z) > 8 else r

    return projected(model, x, probes)


@wrong("probe-law", "sampler", "signs in a batch of one", "a branch for B = 1", "spectreg")
def signs_in_a_batch_of_one(model: nn.Module, x: Tensor) -> Tensor:
    def probes(z: Tensor) -> Tensor:
        r = torch.randn_like(z)
        return r.sign() if len(z) == 1 else r

    return projected(model, x, probes)


@wrong("probe-law", "sampler", "+ with chance 0.53", "a coin off", "spectreg", probe="rademacher")
def bits_of_a_biased_coin(model: nn.Module, x: Tensor) -> Tensor:
    return projected(model, x, lambda z: 2 * torch.empty_like(z).bernoulli_(0.53) - 1)


@wrong(
    "probe-law", "sampler", "+ with chance 0.52", "a threshold off", "spectreg", probe="rademacher"
)
def a_threshold_off(model: nn.Module, x: Tensor) -> Tensor:
    return projected(model, x, lambda z: (torch.rand_like(z) - 0.48).sign())


@wrong("values-per-example", "batch", "the last row twice", "a padded last batch", "frobreg")
def the_last_row_twice(model: nn.Module, x: Tensor) -> Tensor:
    values = exact(model, x)
    return (values.sum() + values[1:][-1:].sum()) / len(x)
