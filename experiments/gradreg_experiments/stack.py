"""Many networks as one model, so that a sweep costs little more than its matrix products."""

import copy
from collections.abc import Iterator, Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state


class Stack(nn.Module):
    """R networks of one architecture: (R·B, …) ↦ (R·B, …), B rows for each, in order.

    Row by row the stack is an ordinary model, so every penalty takes it as it is. What the rows of
    a network give depends on that network alone, and so do the statistics of batch norm.

    Parameters
    ----------
    networks : sequence of nn.Module
        The networks, whose parameters and buffers are copied.
    """

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        super().__init__()
        parameters, buffers = stack_module_state(list(networks))
        self.size = len(networks)
        self.names = list(parameters)
        self.stacked = nn.ParameterList(parameters.values())
        self.buffer_names = {name: f"stacked_{i}" for i, name in enumerate(buffers)}
        for name, buffer in buffers.items():
            self.register_buffer(self.buffer_names[name], buffer)
        # In a tuple: the parameters of the architecture are not parameters of the stack.
        self.architecture = (copy.deepcopy(networks[0]).to("meta"),)

    def modules(self, remove_duplicate: bool = True) -> Iterator[nn.Module]:
        """The modules, and the modules of the architecture, among which batch norm is found."""
        yield from super().modules(remove_duplicate)
        yield from self.architecture[0].train(self.training).modules(remove_duplicate)

    def state(self) -> dict[str, Tensor]:
        """Stacked parameters and buffers, by their names in one network."""
        parameters = dict(zip(self.names, self.stacked, strict=True))
        return parameters | {n: self.get_buffer(own) for n, own in self.buffer_names.items()}

    def forward(self, x: Tensor) -> Tensor:
        """Apply network r to the rows rB to (r + 1)B."""
        architecture = self.architecture[0].train(self.training)

        def one(state: dict[str, Tensor], rows: Tensor) -> Tensor:
            return cast(Tensor, functional_call(architecture, state, (rows,)))

        rows = x.reshape(self.size, -1, *x.shape[1:])
        return torch.vmap(one)(self.state(), rows).flatten(0, 1)

    def network(self, r: int) -> nn.Module:
        """Network r by itself, a copy."""
        like = self.stacked[0]
        alone = copy.deepcopy(self.architecture[0]).to_empty(device=like.device).to(like.dtype)
        with torch.no_grad():
            own = dict(alone.named_parameters()) | dict(alone.named_buffers())
            for name, stacked in self.state().items():
                own[name].copy_(stacked[r])
        return alone
