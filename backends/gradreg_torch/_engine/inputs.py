"""What a penalty is given as x: one tensor, or several by position or name, some differentiated."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from gradreg_torch._engine import checks
from gradreg_torch._engine.graph import in_transform

Inputs: TypeAlias = Tensor | Sequence[Tensor] | Mapping[str, Tensor]
Wrt: TypeAlias = str | int | Sequence[str] | Sequence[int] | None
Named: TypeAlias = dict[str | int, Tensor]


def by_name(x: Any) -> Named:
    """The tensors of x: a dict by name, a tuple by position, a tensor as position 0."""
    if isinstance(x, Tensor):
        return {0: x}
    if isinstance(x, Mapping) and x:
        return dict(x)
    if hasattr(x, "_fields"):  # a namedtuple, PackedSequence among them
        raise TypeError(
            f"expected x to be a tensor, or a tuple or dict of tensors, got {type(x).__name__}, "
            "which a model may take whole or in parts; pass tuple(x) for model(*x), x._asdict() "
            "for model(**x), or a lambda that makes one of its tensors"
        )
    if isinstance(x, tuple | list) and x:
        return dict(enumerate(x))
    raise TypeError(
        f"expected x to be a tensor, or a non-empty tuple or dict of tensors, got {x!r:.60}"
    )


def select(named: Named, wrt: Wrt) -> Named:
    """The inputs to differentiate: those named, or the only one of a floating dtype."""
    if wrt is not None:
        names: list[Any] = list(wrt) if isinstance(wrt, tuple | list) else [wrt]
        if not names or not all(checks.is_among(k, named) for k in names):
            raise ValueError(f"expected wrt among {list(named)}, got {wrt!r:.60}")
        return {name: named[name] for name in names}
    if len(named) == 1:
        return named
    floating = {k: t for k, t in named.items() if torch.is_tensor(t) and t.is_floating_point()}
    if not floating:
        raise ValueError(
            f"expected an input of a floating dtype among {list(named)}, got none; a model of "
            "tokens is differentiated in their embeddings: pass those as x, with "
            "lambda x: model(inputs_embeds=x), say"
        )
    if len(floating) != 1:
        raise ValueError(
            f"expected wrt= to say which inputs to differentiate, as {len(floating)} of "
            f"{list(named)} are of a floating dtype; for example wrt={next(iter(named))!r}"
        )
    return floating


def trained(x: Tensor) -> bool:
    """Whether x is a parameter, or came out of something trained (embeddings of tokens, say)."""
    return x.requires_grad and (not x.is_leaf or isinstance(x, nn.Parameter))


def stays(x: Tensor) -> bool:
    """Whether x stays in its graph: it is trained, or `torch.func` may differentiate in it."""
    return in_transform() or trained(x)


def leaves(x: Inputs, wrt: Wrt, functional: bool) -> Named:
    """The inputs to differentiate, by name or position, each fit for that."""
    named = by_name(x)
    if wrt is not None or len(named) > 1:
        named = select(named, wrt)
    for name, tensor in named.items():
        require_differentiable(name, tensor, functional)
    if len(named) > 1 and len({tensor.shape[0] for tensor in named.values()}) > 1:
        shapes = {name: tuple(tensor.shape) for name, tensor in named.items()}
        raise ValueError(f"expected inputs of one batch size, got shapes {shapes}")
    return named


def require_differentiable(name: str | int, x: Any, functional: bool) -> None:
    """Raise unless x is a tensor (n, …), n >= 1, of a real floating dtype."""
    if not isinstance(x, Tensor):
        raise TypeError(f"expected input {name!r} to be a tensor, got {type(x).__name__}")
    checks.dense(f"input {name!r}", x, "x")
    if x.is_complex():
        raise TypeError(
            f"expected input {name!r} of a real floating dtype, got {x.dtype}; pass "
            "torch.view_as_real(x), and a model that begins with torch.view_as_complex"
        )
    if not x.is_floating_point():
        raise TypeError(
            f"expected input {name!r} of a real floating dtype, got {x.dtype}; convert it with "
            ".float(), and for token models differentiate the embeddings"
        )
    if x.dtype.itemsize < 2:
        checks.wide(f"input {name!r}", x.dtype)
    if not functional and x.is_inference():
        raise ValueError(
            f"expected input {name!r} outside inference mode, got an inference tensor; "
            "pass x.clone(), made outside torch.inference_mode()"
        )
    if x.ndim < 2 or 0 in x.shape:
        hint = "skip empty batches" if x.ndim > 1 else "one example is x[None], scalars x[:, None]"
        raise ValueError(
            f"expected input {name!r} with shape (n, ...) and n >= 1, got {tuple(x.shape)}; {hint}"
        )


def own(x: Tensor, functional: bool) -> Tensor:
    """A leaf of our own, so that x and x.grad stay untouched.

    A trained x stays in its graph, for J depends on parameters through it and the penalty's
    gradient must too; the view is a variable of its own, also where one input depends on another.
    """
    if not x.is_contiguous() and shares_memory(x):
        x = x.contiguous()  # its tangent would share memory too: forward mode is wrong or refuses
    if stays(x):
        return x.view_as(x)
    # `torch.func` makes variables of its own.
    return x.detach() if functional else x.detach().requires_grad_()


def shares_memory(x: Tensor) -> bool:
    """Whether entries of x may be one number in memory, as `expand` and `unfold` make them."""
    reach = 0  # of the axes of shorter strides, which a stride must step over
    for stride, size in sorted(zip(x.stride(), x.shape, strict=True)):
        if size > 1 and stride <= reach:
            return True
        reach += (size - 1) * stride
    return False


def in_form(x: Inputs, tensors: Named) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of the model: model(x), model(*x) or model(**x)."""
    if isinstance(x, Mapping):
        return (), {str(name): t for name, t in tensors.items()}
    return tuple(tensors.values()), {}


def changed(x: Inputs, change: Callable[[Any], Any]) -> Any:
    """Apply `change` to everything in x; return the results in the form of x."""
    if isinstance(x, Tensor):
        return change(x)
    named = {name: change(t) for name, t in by_name(x).items()}
    return named if isinstance(x, Mapping) else tuple(named.values())


def first_of(inputs: Named) -> Tensor:
    """Return one of the inputs, for batch size, dtype and device."""
    return next(iter(inputs.values()))


def differentiated(x: Inputs, wrt: Wrt) -> Tensor:
    """One of the inputs to differentiate."""
    name, first = next(iter(select(by_name(x), wrt).items()))
    if not isinstance(first, Tensor):
        raise TypeError(f"expected input {name!r} to be a tensor, got {type(first).__name__}")
    return first


def width(inputs: Named) -> int:
    """i: input coordinates of one example, over all differentiated inputs."""
    return sum(t[0].numel() for t in inputs.values())


def unflat(columns: Tensor, inputs: Named) -> list[Tensor]:
    """Columns (q, n, i) cut up into tensors (q, n, …) like the inputs."""
    sizes = [t[0].numel() for t in inputs.values()]
    parts = torch.split(columns, sizes, dim=2)
    return [p.reshape(-1, *t.shape) for p, t in zip(parts, inputs.values(), strict=True)]
