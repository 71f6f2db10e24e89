"""What the torch backend accepts; everything else gets a sentence that says what to do.

Checks of shape, dtype and device always run. `finite` and the range of labels must read values,
so by default they run on CPU tensors only: no training step on an accelerator waits for them.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn


def not_in_inference_mode() -> None:
    """Inference mode records no graph at all."""
    if not torch.compiler.is_compiling() and torch.is_inference_mode_enabled():
        raise RuntimeError(
            "expected grad mode or no_grad, got inference mode, which records no graph; "
            "evaluate penalties under torch.no_grad() instead"
        )


def differentiable_input(name: str | int, x: Any) -> None:
    """A tensor (n, …) of a real floating dtype, n >= 1, made outside inference mode."""
    if not isinstance(x, Tensor):
        raise TypeError(f"expected input {name!r} to be a tensor, got {type(x).__name__}")
    if not x.is_floating_point():
        raise TypeError(
            f"expected input {name!r} of a real floating dtype, got {x.dtype}; convert it with "
            ".float(), and for token models differentiate the embeddings"
        )
    if not torch.compiler.is_compiling() and x.is_inference():
        raise ValueError(
            f"expected input {name!r} outside inference mode, got an inference tensor; "
            "pass x.clone(), made outside torch.inference_mode()"
        )
    if x.ndim < 2 or 0 in x.shape:
        hint = "skip empty batches" if x.ndim > 1 else "one example is x[None], scalars x[:, None]"
        raise ValueError(
            f"expected input {name!r} with shape (n, ...) and n >= 1, got {tuple(x.shape)}; {hint}"
        )


def inputs(named: dict[str | int, Tensor], mode: str) -> None:
    """Differentiable inputs of equally many examples, in a precision that the mode can use."""
    for name, tensor in named.items():
        differentiable_input(name, tensor)
        if "difference" in mode and tensor.dtype in HALF:
            raise TypeError(half(tensor.dtype))
    shapes = {name: tuple(x.shape) for name, x in named.items()}
    if len({shape[0] for shape in shapes.values()}) > 1:
        raise ValueError(f"expected inputs of one batch size, got shapes {shapes}")


def graph_reaches(logits: Tensor, inputs: dict[str | int, Tensor]) -> None:
    """In the form (logits, x): logits were computed from this x, with a graph."""
    for name, x in inputs.items():
        if not x.requires_grad:
            raise ValueError(
                f"expected input {name!r} to require grad where logits are passed; call "
                "x.requires_grad_() before the forward pass, or pass the model in place of logits"
            )
    if not logits.requires_grad:
        raise ValueError(
            "expected logits with a graph, got logits that require no grad (computed under "
            "no_grad, or detached); pass the model in place of logits"
        )


def is_callable(model: Any) -> None:
    """A model, where there are no logits."""
    if not callable(model):
        raise TypeError(f"expected a model (callable) or its logits, got {type(model).__name__}")


def trainable(model: Any) -> None:
    """A model that is in training mode has something to train."""
    if not isinstance(model, nn.Module) or not model.training:
        return
    trained = any(p.requires_grad for p in model.parameters())  # the first one mostly is
    if not trained and next(model.parameters(), None) is not None:
        raise ValueError(
            "expected a trainable model in training mode, got one whose parameters are all frozen: "
            "the penalty would train nothing; call model.eval() to measure it, "
            "or model.requires_grad_() to train it"
        )


def output(z: Any, n: int, *, grad: bool) -> None:
    """A tensor (n, …) of a real floating dtype, that depends on the inputs."""
    if not isinstance(z, Tensor):
        raise TypeError(
            f"expected the model to return a tensor of logits, got {type(z).__name__}; "
            "wrap it, for example lambda x: model(x).logits"
        )
    if z.ndim == 0 or z.shape[0] != n or 0 in z.shape:
        raise ValueError(
            f"expected logits with shape ({n}, ...), one row an example, got {tuple(z.shape)}; "
            "return the logits, not a loss"
        )
    if not z.is_floating_point():
        raise TypeError(f"expected logits of a real floating dtype, got {z.dtype}")
    if grad and not z.requires_grad:
        raise ValueError(
            "expected logits that depend on x, got logits that require no grad; "
            "look for detach(), no_grad or a rounding in the model"
        )


def reached(names: Iterable[str | int], gradients: Iterable[Tensor | None]) -> None:
    """Every differentiated input reaches the output."""
    for name, gradient in zip(names, gradients, strict=True):
        if gradient is None:
            raise ValueError(
                f"expected input {name!r} to reach the logits, got no path between them; "
                "pass the x that the logits were computed from, and only inputs the model uses"
            )


def finite(inputs: dict[str | int, Tensor], z: Tensor, model: Any) -> None:
    """No NaN or infinity in inputs or logits (reads values); parameters are looked at if so."""
    require_finite("input", inputs)
    if not all_finite(z):
        require_finite("parameter", named_parameters(model))
        require_finite("output", {"logits": z})


def named_parameters(model: Any) -> dict[str | int, Tensor]:
    """Of a module; a plain callable keeps its own to itself."""
    return dict(model.named_parameters()) if isinstance(model, nn.Module) else {}


def require_finite(kind: str, tensors: dict[str | int, Tensor]) -> None:
    """An error that names the first that is not."""
    for name, tensor in tensors.items():
        if not all_finite(tensor):
            raise ValueError(f"expected {kind} {name!r} finite, got NaN or infinity")


def all_finite(t: Tensor) -> bool:
    """In one pass over t: a sum is not finite where a term is not, and rarely otherwise."""
    return bool(t.sum().isfinite()) or bool(torch.isfinite(t).all())


def finite_value(values: Tensor) -> None:
    """A penalty that is a number (reads values)."""
    if not all_finite(values):
        raise ValueError(
            "expected a finite penalty, got NaN or infinity at finite logits: the Jacobian is "
            f"infinite somewhere (a square root at 0?) or overflows {values.dtype}"
        )


def count(name: str, value: Any) -> int:
    """A positive whole number."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"expected {name} to be a whole number >= 1, got {value!r}")
    return value


def choice(name: str, value: Any, known: Iterable[str]) -> Any:
    """One of the known names."""
    known = list(known)
    if value not in known:
        raise ValueError(f"expected {name} to be one of {', '.join(known)}; got {value!r}")
    return value


def option_names(owner: str, options: Iterable[str], known: Iterable[str]) -> None:
    """Options that their owner has."""
    for name in options:
        if name not in known:
            raise TypeError(
                f"expected options of {owner} among {', '.join(sorted(known))}; got {name!r}"
            )


def mode_of(R: Any, mode: str) -> None:
    """DoubleBack and Onehot are one vector-Jacobian product, or i Jacobian-vector products."""
    if mode == "forward" and not R.forward_mode:
        raise ValueError(
            "expected mode='reverse' or 'finite_difference', got 'forward': one gradient would "
            "take a product for every input coordinate"
        )


def mode_that_compiles(mode: str) -> None:
    """Finite differences take a gradient on the way, which torch.compile refuses."""
    if torch.compiler.is_compiling() and "difference" in mode:
        raise ValueError(
            f"expected mode='reverse' or 'forward' in a compiled step, got {mode!r}; "
            "or leave the penalty out of what is compiled"
        )


def mode_of_logits(mode: str) -> None:
    """Only reverse mode can work on a graph that is there already."""
    if mode not in ("auto", "reverse"):
        raise ValueError(
            f"expected mode='reverse' where logits are passed, got {mode!r}, which runs the model "
            "itself; pass the model in place of logits"
        )


def half(dtype: torch.dtype) -> str:
    """What to do about finite differences in low precision."""
    return (
        f"expected finite differences in float32 or float64, got {dtype}, where they drown in "
        "rounding; keep parameters and inputs in float32 under autocast, or use mode='reverse'"
    )


HALF = (torch.float16, torch.bfloat16)
LossFunction = Callable[[Tensor, Tensor], Tensor]
