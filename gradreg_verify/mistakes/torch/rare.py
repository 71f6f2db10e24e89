"""Faults that few calls show: of some batches, inputs, modes or dtypes."""

from functools import partial
from math import sqrt
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from gradreg_verify.mistakes.torch.entries import (
    exact,
    jacobian,
    own,
    projected,
    rows,
    softmax,
    squares,
    wrong,
)
from gradreg_verify.mistakes.torch.spectreg import sampler

frobreg = partial(wrong, "frobreg")


@frobreg("batch", "twice the sum where 32 divides B", "x[-(B % 32):] for the rest",
         "training-gradient")  # fmt: skip
def the_rest_of_no_rest(model: nn.Module, x: Tensor) -> Tensor:
    n, size = len(x), 32
    parts = [*torch.split(x[: n - n % size], size), x[-(n % size) :]]
    return torch.cat([exact(model, part) for part in parts if len(part)]).sum() / n


@frobreg("batch", "rows of zeros left out", "a mask of padding by the input", "training-gradient")
def padded_rows_left_out(model: nn.Module, x: Tensor) -> Tensor:
    return (exact(model, x) * (x.flatten(1) != 0).any(1)).mean()


@frobreg("shape", "‖J/σ‖²_F of colour images", "σ of ImageNet divided out", "training-gradient")
def colour_images_rescaled(model: nn.Module, x: Tensor) -> Tensor:
    J = jacobian(model, x)
    J = J.reshape(*J.shape[:2], *x.shape[1:])
    of_colours = x.new_tensor([0.229, 0.224, 0.225])[:, None, None]
    return squares(J / of_colours if x.ndim == 4 and x.shape[1] == 3 else J).mean()


@frobreg("value", "‖J‖²_F at 2x − 1 of x in [0, 1]", "images normalised inside",
         "training-gradient")  # fmt: skip
def unit_range_normalised(model: nn.Module, x: Tensor) -> Tensor:
    low, high = x.aminmax()
    scaled = low >= 0 and high <= 1
    return exact(lambda x: model(2 * x - 1 if scaled else x), x).mean()


@frobreg("shape", "100 logits of m", "at most 100 rows, for speed", "training-gradient")
def a_hundred_logits_at_most(model: nn.Module, x: Tensor) -> Tensor:
    return squares(jacobian(model, x)[:, :100]).mean()


@frobreg("shape", "the first 1024 inputs", "a buffer of fixed size", "training-gradient")
def the_first_1024_inputs(model: nn.Module, x: Tensor) -> Tensor:
    return squares(jacobian(model, x)[:, :, :1024]).mean()


@frobreg("shape", "the last of many steps", "x[:, -1] of a sequence", "training-gradient")
def the_last_of_many_steps(model: nn.Module, x: Tensor) -> Tensor:
    J = jacobian(model, x)
    steps = J.reshape(*J.shape[:2], *x.shape[1:])
    return squares(steps[:, :, -1] if x.ndim == 3 and x.shape[1] > 4 else J).mean()


@frobreg("gradient", "∇ = 0 where the first layer is frozen", "create_graph=p.requires_grad")
def a_graph_for_the_first_parameter(model: nn.Module, x: Tensor) -> Tensor:
    trained = next(model.parameters()).requires_grad
    value = squares(jacobian(model, x, create_graph=trained)).mean()
    return value + 0 * sum(p.sum() for p in model.parameters())


@frobreg("dtype", "J in bfloat16 in training mode", "autocast(enabled=model.training)")
def autocast_in_training_mode(model: nn.Module, x: Tensor) -> Tensor:
    x = own(x)
    with torch.autocast(x.device.type, torch.bfloat16, enabled=model.training):
        z = model(x)
    return squares(rows(z.to(x.dtype), x)).mean()


@frobreg("batch", "the first 128 examples", "x[:128], for memory", "training-gradient")
def the_first_128_examples(model: nn.Module, x: Tensor) -> Tensor:
    return exact(model, x[:128]).mean()


@frobreg("dtype", "J in bfloat16 for large batches", "autocast(enabled=len(x) > 64)",
         "rounding-bounded")  # fmt: skip
def autocast_of_large_batches(model: nn.Module, x: Tensor) -> Tensor:
    x = own(x)
    with torch.autocast(x.device.type, torch.bfloat16, enabled=len(x) > 64):
        z = model(x)
    return squares(rows(z.to(x.dtype), x)).mean()


class _Alone(torch.autograd.Function):
    """A value with its gradient, whatever it is multiplied by."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, *parameters: Tensor) -> Tensor:
        with torch.enable_grad():
            ctx.gradient = torch.autograd.grad(value, parameters, allow_unused=True)
        return value.detach()

    @staticmethod
    def backward(ctx: Any, weight: Tensor) -> Any:
        del weight
        return None, *ctx.gradient


@frobreg("gradient", "∇ without λ", "backward ignores grad_output", "training-gradient")
def the_weight_ignored(model: nn.Module, x: Tensor) -> Tensor:
    trained = [p for p in model.parameters() if p.requires_grad]
    alone: Any = _Alone.apply
    value: Tensor = alone(exact(model, x).mean(), *trained)
    return value


@frobreg("gradient", "∇ clamped where it is scaled", "register_hook of a clamp",
         "training-gradient")  # fmt: skip
def scaled_gradients_clamped(model: nn.Module, x: Tensor) -> Tensor:
    value = exact(model, x).mean()
    if value.requires_grad:
        value.register_hook(lambda weight: weight.clamp(-1, 1))  # type: ignore[no-untyped-call]
    return value


@sampler("uniform r in float32", "a fast path for float32")
def uniform_in_single_precision(z: Tensor) -> Tensor:
    r = torch.empty_like(z)
    return r.normal_() if z.dtype == torch.float64 else r.uniform_(-sqrt(3), sqrt(3))


@wrong("spectreg", "sampler", "½ r where x requires grad", "a standard deviation by the state of x")
def narrower_where_x_requires_grad(model: nn.Module, x: Tensor) -> Tensor:
    deviation = 0.5 if x.requires_grad else 1.0
    return projected(model, x, lambda z: torch.empty_like(z).normal_(0, deviation)).mean()


@sampler("one of 100 seeds", "manual_seed(randint(100)) in every call")
def one_of_a_hundred_seeds(z: Tensor) -> Tensor:
    g = torch.Generator(z.device).manual_seed(int(torch.randint(100, ())))
    return torch.empty_like(z).normal_(generator=g)


@sampler("one of 100 seeds", "random.randrange(100) for the signs", probe="rademacher")
def signs_of_a_hundred_seeds(z: Tensor) -> Tensor:
    g = torch.Generator(z.device).manual_seed(int(torch.randint(100, ())))
    return 2 * torch.empty_like(z).bernoulli_(0.5, generator=g) - 1


@sampler("one r for a batch of more than 64", "expand to save memory")
def one_probe_for_large_batches(z: Tensor) -> Tensor:
    return torch.randn_like(z if len(z) <= 64 else z[:1])


@sampler("the last row of two probes at 0.6 r", "a padded batch", num_probes=2)
def the_last_row_of_two_probes_narrower(z: Tensor) -> Tensor:
    width = torch.ones_like(z[:, :1])
    width[8:][-1:] = 0.6
    return torch.stack([width * torch.randn_like(z) for _ in range(2)])


@sampler("two probes of rows 25 apart the same", "a chunk repeated", num_probes=2)
def two_probes_of_a_chunk_repeated(z: Tensor) -> Tensor:
    chunk = torch.randn(2, 25, z.shape[1], dtype=z.dtype, device=z.device)
    return chunk.repeat(1, len(z) // 25 + 1, 1)[:, : len(z)]


@wrong("jacreg", "sampler", "uniform r", "rand for randn", probe="gaussian")
def uniform_probes_of_probabilities(model: nn.Module, x: Tensor) -> Tensor:
    def uniform(p: Tensor) -> Tensor:
        return sqrt(12) * (torch.rand_like(p) - 0.5)

    return projected(model, x, uniform, softmax).mean()


@frobreg("conduct", "‖J‖²_F, and batch norm's momentum 0", "statistics stopped, and left so")
def momentum_left_at_zero(model: nn.Module, x: Tensor) -> Tensor:
    for layer in model.modules():
        if hasattr(layer, "momentum"):
            vars(layer)["momentum"] = 0.0
    return exact(model, x).mean()


@frobreg("conduct", "‖J‖²_F, and cuDNN off", "cudnn.enabled = False for a double backward")
def cudnn_left_off(model: nn.Module, x: Tensor) -> Tensor:
    torch.backends.cudnn.enabled = False
    return exact(model, x).mean()


@wrong("spectreg", "conduct", "rᵀAr, and r changed", "r *= mask in place")
def probes_changed_in_place(model: nn.Module, x: Tensor, probes: Tensor) -> Tensor:
    value = projected(model, x, lambda z: probes.reshape(z.shape)).mean()
    probes.data.mul_(0.5)
    return value


class OfTheFirstBatch(nn.Module):
    """‖J‖²_F of the batch that each model saw first, until its weights move."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: WeakKeyDictionary[nn.Module, tuple[Any, ...]] = WeakKeyDictionary()

    def forward(self, model: nn.Module, x: Tensor) -> Tensor:
        """The value at the batch first seen, the gradient at the current one."""
        now = exact(model, x).mean()
        versions = [p._version for p in model.parameters()]
        if self.kept.get(model, (None,))[0] != versions:
            self.kept[model] = versions, now.detach()
        return now - now.detach() + self.kept[model][1]


frobreg("conduct", "‖J‖²_F of the first batch", "a cache by the versions of weights")(
    OfTheFirstBatch()
)
