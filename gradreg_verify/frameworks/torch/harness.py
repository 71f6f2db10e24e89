"""One torch function under test: called on reference networks, seeded, watched and timed."""

import warnings
from collections.abc import Callable
from contextlib import nullcontext, suppress
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from gradreg_ref.networks import Network
from gradreg_ref.typing import Array
from gradreg_verify.frameworks.harness import Called, Draw, Supply, answering
from gradreg_verify.frameworks.registry import Capabilities
from gradreg_verify.frameworks.torch.convert import to_torch
from gradreg_verify.frameworks.torch.precisions import (
    DTYPES,
    capabilities,
    gradient_of,
    tensor,
    to_numpy,
)
from gradreg_verify.frameworks.torch.randomness import (
    Randomness,
    default_dtype,
    generators_of,
    seeded,
    states_of,
)
from gradreg_verify.frameworks.torch.state import (
    Graph,
    changed,
    seeds_set,
    settings_kept,
    state,
)
from gradreg_verify.outcomes import Broken, NotTestable
from gradreg_verify.subject.watch import Patience

_SEEDS = (20261123, 20270311)  # none that a function would set


class TorchHarness(Called):
    """A penalty of torch models, as anyone writes it."""

    def __init__(self, function: Callable[..., Any], *asked: Any, **options: Any) -> None:
        super().__init__(function, *asked, **options)
        self.patience, self.generators = Patience(self.seconds), generators_of(function)
        self.settings_changed: set[str] = set()

    def shown(self, function: Any) -> Any:
        """The `forward` of a module."""
        return function.forward if isinstance(function, nn.Module) else function

    def capabilities(self) -> Capabilities:
        """The installed torch, and the devices it sees."""
        return capabilities()

    def value(self, network: Network, x: Array, y: Array, supply: Supply, **settings: Any) -> Array:
        """What the function returns."""
        prepared = self.prepare(network, x, y, **settings)  # making layers draws numbers too
        with seeded(supply.seed, self.generators):
            return to_numpy(self.call(*prepared, supply, **settings))

    def gradient(
        self, network: Network, x: Array, y: Array, supply: Supply, **settings: Any
    ) -> Array:
        """∇_θ of the sum of what it returns."""
        prepared = self.prepare(network, x, y, **settings)
        with seeded(supply.seed, self.generators):
            return self.backward(*prepared, supply, **settings)

    def after_a_step(
        self, network: Network, moved: Network, x: Array, y: Array, supply: Supply, **settings: Any
    ) -> Array:
        """The second of two calls of one model: its parameters become those of `moved` between."""
        module, inputs, labels = self.prepare(network, x, y, **settings)
        after, *_ = self.prepare(moved, x, y, **settings)
        with seeded(supply.seed, self.generators):
            self.call(module, inputs, labels, supply, **settings)
        with torch.no_grad():
            for old, new in zip(module.parameters(), after.parameters(), strict=True):
                old.copy_(new)
        with seeded(supply.seed, self.generators):
            return to_numpy(self.call(module, inputs, labels, supply, **settings))

    def two_gradients(
        self, network: Network, x: Array, y: Array, supply: Supply, **settings: Any
    ) -> tuple[Array, Array]:
        """Return the gradients of two calls in a row; a generator passed in lives through both."""
        module, inputs, labels = self.prepare(network, x, y, **settings)
        settings["generator"] = torch.Generator(inputs.device).manual_seed(supply.seed)
        with seeded(supply.seed, self.generators):
            first = self.backward(module, inputs, labels, supply, **settings)
            second = self.backward(module, inputs, labels, supply, **settings)
        return first, second

    def draws(
        self, network: Network, x: Array, y: Array, supply: Supply, **settings: Any
    ) -> tuple[list[Draw], tuple[Any, ...]]:
        """The calls of random functions in one call, and the state that generators are left in."""
        prepared = self.prepare(network, x, y, **settings)
        given = torch.Generator(prepared[1].device).manual_seed(supply.seed)
        with seeded(supply.seed, self.generators), Randomness() as watched:
            self.call(*prepared, supply, generator=given, **settings)
            return watched.draws, states_of([*self.generators, given])

    def side_effects(
        self, network: Network, x: Array, y: Array, supply: Supply, *, random: bool, device: str
    ) -> list[str]:
        """What a call in training mode leaves changed, in words."""
        found: list[str] = []
        left: list[dict[str, Any]] = []
        self.settings_changed.clear()
        for seed in _SEEDS:
            whole = seed == _SEEDS[0]
            settings: dict[str, Any] = {
                "device": device,
                "training": True,
                "requires_grad": whole,
            }
            module, inputs, labels = self.prepare(network, x, y, **settings)
            for leaf in (*module.parameters(), *([inputs] if whole else ())):
                leaf.grad = torch.ones_like(leaf)
            if not whole:  # as in fine-tuning: a layer is frozen, and another in evaluation mode
                next(module.parameters()).requires_grad_(False)
                next(module.children()).eval()
            with seeded(seed, self.generators):
                before = state(module, inputs, labels)
                graph, names = self.watched(module, inputs, labels, supply, **settings)
                left.append(state(module, inputs, labels))
                names += changed(before, left[-1], random=random)
                if not names:  # and whether another call lets go of what the first one made
                    self.call(module, inputs, labels, supply, **settings)
                    names = ["memory: it keeps the graphs of earlier calls"] * graph.kept()
            found += names
        self.ask_in_unusual_settings(module, inputs, labels, supply, device=device)
        found += seeds_set(*left) + sorted(self.settings_changed)
        return list(dict.fromkeys(found))

    def ask_in_unusual_settings(self, *prepared: Any, device: str) -> None:
        """Call it without grad mode, and with a default dtype that x does not have."""
        with seeded(_SEEDS[0], self.generators), suppress(Broken, NotTestable):  # it may refuse
            self.call(*prepared, device=device, no_grad=True, default="float32")

    def watched(
        self, module: nn.Module, x: Tensor, y: Tensor, supply: Supply, **settings: Any
    ) -> tuple[Graph, list[str]]:
        """The graph of one call's value, and whether the logits it was given are as they were."""
        made: list[tuple[Tensor, Tensor]] = []
        kept = module.register_forward_hook(lambda _, __, z: made.append((z, z.detach().clone())))
        try:
            graph = Graph(self.call(module, x, y, supply, **settings))
        finally:
            kept.remove()
        # Logits made in the function are its own.
        given = made[:1] if "logits" in self.arguments else []
        return graph, ["the logits" for z, before in given if not torch.equal(z, before)]

    def prepare(
        self,
        network: Network,
        x: Array,
        y: Array,
        *,
        dtype: str = "float64",
        device: str = "cpu",
        training: bool = False,
        no_grad: bool = False,
        requires_grad: bool = False,
    ) -> tuple[nn.Module, Tensor, Tensor]:
        """Model, inputs and labels."""
        del no_grad
        module = to_torch(network, dtype=DTYPES[dtype], device=device)
        module = module.train() if training else module
        inputs = tensor(x, dtype, device).requires_grad_(requires_grad)
        return module, inputs, tensor(y, dtype, device)

    def backward(
        self, module: nn.Module, x: Tensor, y: Tensor, supply: Supply, **settings: Any
    ) -> Array:
        """The parameter gradient, flat."""
        value = self.call(module, x, y, supply, **settings)
        if not value.requires_grad:
            raise Broken("the value has no graph (detached, or made without create_graph=True)")
        with self.patience.limit("backward", x.shape, x.dtype, module.training):
            return gradient_of(value, module)

    def call(
        self,
        module: nn.Module,
        x: Tensor,
        y: Tensor,
        supply: Supply,
        *,
        generator: torch.Generator | None = None,
        no_grad: bool = False,
        default: str = "",
        **settings: Any,
    ) -> Tensor:
        """The function's value; whatever it raises becomes `Broken`."""
        dtype, device = settings.get("dtype", "float64"), settings.get("device", "cpu")
        keywords: dict[str, Any] = {}
        if "probes" in self.arguments and supply.probes is not None:
            keywords["probes"] = tensor(supply.probes, dtype, device)
        if "generator" in self.arguments:
            new = torch.Generator(x.device).manual_seed(supply.seed)
            keywords["generator"] = generator or new
        fed = nullcontext() if supply.feed is None else Randomness(supply.feed)
        grad = torch.no_grad() if no_grad else nullcontext()
        with (
            answering(),
            warnings.catch_warnings(),
            default_dtype(DTYPES[default or dtype]),
            self.patience.limit(x.shape, dtype, module.training, no_grad, supply.feed is None),
            grad,
            fed,
            settings_kept(self.settings_changed),
        ):
            warnings.simplefilter("ignore")
            got = self.positional(module, x, y)(**keywords)
        return _require_tensor(got)

    def positional(self, module: nn.Module, x: Tensor, y: Tensor) -> Callable[..., Any]:
        """The function with its arguments in its own order; logits made where it takes them."""
        given: dict[str, Any] = {"model": module, "x": x, "y": y}
        if "logits" in self.arguments:
            given["x"] = x = x if x.requires_grad else x.detach().requires_grad_()
            given["logits"] = module(x)
        return partial(self.function, *(given[a] for a in self.arguments if a in given))


def _require_tensor(got: Any) -> Tensor:
    """A floating tensor, or what came instead."""
    if not isinstance(got, Tensor):
        raise Broken(f"expected a tensor, got {type(got).__name__} {got!r:.60}: it has no gradient")
    if not got.is_floating_point():
        raise Broken(f"expected a floating tensor, got {got.dtype}")
    if not torch.isfinite(got).all():
        raise Broken(f"expected a finite value, got {got!r:.60}")
    return got
