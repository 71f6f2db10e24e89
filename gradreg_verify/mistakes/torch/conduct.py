"""Functions that change the caller's state, or that return no number."""

import os
import random
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.func import functional_call

from gradreg_verify.mistakes.torch.entries import (
    e_y,
    exact,
    gradient,
    own,
    projected,
    rows,
    softmax,
    squares,
    wrong,
)

frobreg = partial(wrong, "frobreg", "conduct")

KEPT: list[Any] = []


@frobreg("NaN", "0/0 from a normalisation", "values-per-example")
def not_a_number(model: nn.Module, x: Tensor) -> Tensor:
    return exact(model, x).mean() * float("nan")


@frobreg("never returns", "a loop that waits for convergence", "values-per-example")
def an_endless_loop(model: nn.Module, x: Tensor) -> Tensor:
    while True:
        model(x)


@frobreg("leaves the process", "a script that was never a function", "values-per-example")
def sys_exit(model: nn.Module, x: Tensor) -> Tensor:
    raise SystemExit(1)


@frobreg("‖J‖²_F, and .grad filled", "loss.backward() to get x.grad")
def backward_inside(model: nn.Module, x: Tensor) -> Tensor:
    model(own(x)).sum().backward()
    return exact(model, x).mean()


@frobreg("‖J‖²_F, and .grad cleared", "zero_grad() inside the penalty")
def gradients_cleared(model: nn.Module, x: Tensor) -> Tensor:
    model.zero_grad()
    return exact(model, x).mean()


@frobreg("‖J‖²_F, in eval mode ever after", "model.eval() left")
def model_left_in_eval_mode(model: nn.Module, x: Tensor) -> Tensor:
    model.eval()
    return exact(model, x).mean()


@frobreg("‖J‖²_F, and x changed", "x normalised in place")
def x_changed_in_place(model: nn.Module, x: Tensor) -> Tensor:
    value = exact(model, x).mean()
    x.data.add_(0.5)
    return value


@frobreg("‖J‖²_F, and a seed set", "manual_seed for reproducibility")
def a_global_seed_set(model: nn.Module, x: Tensor) -> Tensor:
    torch.manual_seed(0)
    random.seed(0)
    return exact(model, x).mean()


@frobreg("‖J‖²_F + noise", "a state that no seed controls")
def another_number_every_time(model: nn.Module, x: Tensor) -> Tensor:
    return exact(model, x).mean() * (1 + 1e-12 * os.urandom(1)[0])


@frobreg("0 under no_grad", "validation loops (Lightning#201)", "bad-input-refused")
def zero_under_no_grad(model: nn.Module, x: Tensor) -> Tensor:
    if not torch.is_grad_enabled():
        return x.new_zeros(())
    return exact(model, x).mean()


@frobreg("0 where x requires grad", "x.grad by hooks", "training-gradient")
def none_where_x_requires_grad(model: nn.Module, x: Tensor) -> Tensor:
    return exact(model, x).mean() * (0 if x.requires_grad else 1)


@frobreg("twice the value in training", "a warm-up", "training-gradient")
def another_value_in_training_mode(model: nn.Module, x: Tensor) -> Tensor:
    value = exact(model, x).mean()
    return value + value.detach() if model.training else value


@frobreg("‖J‖²_F, and z changed", "z −= max for stability")
def logits_changed_in_place(logits: Tensor, x: Tensor) -> Tensor:
    value = squares(rows(logits, x)).mean()
    logits.data -= logits.data.amax(1, keepdim=True)
    return value


@frobreg("‖J‖²_F, and a hook", "features by a hook")
def a_hook_left_behind(model: nn.Module, x: Tensor) -> Tensor:
    model.register_forward_pre_hook(lambda *_: None)
    return exact(model, x).mean()


@frobreg("‖J‖²_F, and a model in float32", "model.float()")
def the_model_made_single(model: nn.Module, x: Tensor) -> Tensor:
    value = exact(model, x).mean()
    model.float()
    return value


@frobreg("‖J‖²_F, and x.requires_grad", "requires_grad_ on x")
def requires_grad_left_on(model: nn.Module, x: Tensor) -> Tensor:
    x.requires_grad_()
    return squares(rows(model(x), x)).mean()


@frobreg("‖J‖²_F, and every layer training", "model.train() after model.eval()")
def every_layer_left_in_training_mode(model: nn.Module, x: Tensor) -> Tensor:
    model.eval()
    value = exact(model, x).mean()
    model.train()
    return value


@frobreg("‖J‖²_F, and no layer frozen", "requires_grad switched off, and on for all")
def parameters_unfrozen(model: nn.Module, x: Tensor) -> Tensor:
    model.requires_grad_(True)
    return exact(model, x).mean()


@frobreg("‖J‖²_F, and another forward", "a forward that counts its calls")
def the_forward_patched(model: nn.Module, x: Tensor) -> Tensor:
    forward = model.forward
    setattr(model, "forward", lambda *inputs: forward(*inputs))  # noqa: B010
    return exact(model, x).mean()


@frobreg("‖J‖²_F, and anomaly detection on", "a debugging line left in")
def anomaly_detection_left_on(model: nn.Module, x: Tensor) -> Tensor:
    torch.set_anomaly_enabled(True)
    return exact(model, x).mean()


@frobreg("‖J‖²_F, and grad mode on", "set_grad_enabled without `with`")
def grad_mode_left_on(model: nn.Module, x: Tensor) -> Tensor:
    torch.set_grad_enabled(True)
    return exact(model, x).mean()


@frobreg("‖J‖²_F, and another default dtype", "set_default_dtype for torch.eye(m)")
def the_default_dtype_set(model: nn.Module, x: Tensor) -> Tensor:
    torch.set_default_dtype(x.dtype)
    return exact(model, x).mean()


@frobreg("‖J‖²_F, and every graph kept", "history.append(reg)")
def graphs_kept_in_a_list(model: nn.Module, x: Tensor) -> Tensor:
    value = exact(model, x).mean()
    KEPT.append(value)
    return value


class Remembered(nn.Module):
    """‖J‖²_F of each model as first seen, kept."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: WeakKeyDictionary[nn.Module, dict[str, Tensor]] = WeakKeyDictionary()

    def forward(self, model: nn.Module, x: Tensor) -> Tensor:
        """The value at the parameters first seen, the gradient at the current ones."""
        if model not in self.kept:
            self.kept[model] = {k: v.detach().clone() for k, v in model.state_dict().items()}
        now = exact(model, x).mean()
        then = exact(lambda x: functional_call(model, self.kept[model], (x,)), x).mean()
        return now - now.detach() + then.detach()


frobreg("‖J‖²_F of the first parameters", "weights copied once for each model")(Remembered())


@wrong("spectreg", "conduct", "other probes each time", "a generator of its own")
def a_generator_of_its_own(model: nn.Module, x: Tensor) -> Tensor:
    g = torch.Generator(x.device)
    g.seed()
    return projected(
        model,
        x,
        lambda z: torch.randn(z.shape, generator=g, dtype=z.dtype, device=z.device),
    ).mean()


@wrong("spectreg", "conduct", "rᵀAr, and a seed set after it", "manual_seed for the next epoch")
def a_seed_set_at_the_end(model: nn.Module, x: Tensor) -> Tensor:
    value = projected(model, x, torch.randn_like).mean()
    torch.manual_seed(0)
    return value


@wrong("doubleback", "conduct", "label m taken for m − 1", "y.clamp(max=m − 1)",
       "bad-input-refused")  # fmt: skip
def labels_clamped(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    return projected(model, x, lambda z: softmax(z) - e_y(y.clamp(max=z.shape[1] - 1), z)).mean()


@wrong("onehot", "conduct", "‖Jᵀe_y‖², and y changed", "y −= 1 for a shift")
def labels_changed_in_place(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    value = squares(gradient(model, x, lambda z: z.gather(1, y[:, None]).sum())).mean()
    y.zero_()
    return value
