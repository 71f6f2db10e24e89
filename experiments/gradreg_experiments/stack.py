"""Many small networks as one model, so that a sweep costs little more than its matrix products."""

import copy
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state


class Stack(nn.Module):
    """R networks of one architecture: (R·B, …) ↦ (R·B, …), B rows for each, in order.

    Row by row the stack is an ordinary model, so every penalty takes it as it is, and what one
    network's rows give depends on that network alone.

    Parameters
    ----------
    networks : sequence of nn.Module
        Their parameters are copied. No buffers.
    """

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        super().__init__()
        parameters, _ = stack_module_state(list(networks))
        self.size = len(networks)
        self.names = list(parameters)
        self.stacked = nn.ParameterList(parameters.values())
        # In a tuple, as its parameters are not ours: each call brings its own.
        self.architecture = (copy.deepcopy(networks[0]).to("meta"),)

    def forward(self, x: Tensor) -> Tensor:
        """Network r on rows rB to (r + 1)B."""

        def one(parameters: dict[str, Tensor], rows: Tensor) -> Tensor:
            return cast(Tensor, functional_call(self.architecture[0], parameters, (rows,)))

        parameters = dict(zip(self.names, self.stacked, strict=True))
        rows = x.reshape(self.size, -1, *x.shape[1:])
        return torch.vmap(one)(parameters, rows).flatten(0, 1)

    def network(self, r: int) -> nn.Module:
        """Network r by itself, a copy."""
        alone = copy.deepcopy(self.architecture[0]).to_empty(device=self.stacked[0].device)
        alone.load_state_dict({n: p[r] for n, p in zip(self.names, self.stacked, strict=True)})
        return alone
