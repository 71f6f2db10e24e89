"""Where a call's random numbers come from: seeded, recorded, or fed."""

import random
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from gradreg_ref.typing import Array
from gradreg_verify.frameworks.harness import Draw

KINDS: dict[Callable[..., Any], str] = {
    torch.randn: "normal",
    torch.randn_like: "normal",
    torch.normal: "normal",
    Tensor.normal_: "normal",
    torch.rand: "uniform",
    torch.rand_like: "uniform",
    Tensor.uniform_: "uniform",
    torch.randint: "integer",
    torch.randint_like: "integer",
    Tensor.random_: "integer",
    torch.bernoulli: "integer",
    Tensor.bernoulli: "integer",
    Tensor.bernoulli_: "integer",
}


class Randomness(TorchFunctionMode):
    """Records every call of a random function, and answers it with what is fed, if anything.

    Parameters
    ----------
    feed : sequence of arrays, optional
        One for each call, in order.
    """

    def __init__(self, feed: Sequence[Array] | None = None) -> None:
        super().__init__()
        self.draws: list[Draw] = []
        self.left = None if feed is None else deque(feed)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """The drawn tensor, with its entries replaced."""
        drawn = func(*args, **(kwargs or {}))
        kind = KINDS.get(func)
        if kind is None:
            return drawn
        self.draws.append(Draw(kind, drawn.detach().cpu().double().numpy().copy()))
        if self.left is not None:
            if not self.left or self.left[0].size != drawn.numel():
                raise ValueError(f"no numbers to feed to a draw of shape {tuple(drawn.shape)}")
            fed = torch.from_numpy(np.array(self.left.popleft()))
            drawn.copy_(fed.reshape(drawn.shape))  # inputs of any shape are drawn for
        return drawn


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    """`torch.randn(n, m)` gives that dtype: a function need not know in which it is called."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype if dtype.itemsize >= 4 else torch.float32)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Global generators of torch, NumPy and Python at a seed; afterwards as they were."""
    python, numpy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        np.random.seed(seed % 2**32)
        random.seed(seed)
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)
