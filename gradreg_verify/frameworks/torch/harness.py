"""One torch function under test: called on reference networks, seeded, watched and timed."""

import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gradreg_ref.networks import Network
from gradreg_ref.typing import Array
from gradreg_verify.frameworks.harness import Call, Draw, Harness, answering
from gradreg_verify.frameworks.torch import effects, randomness, settings
from gradreg_verify.frameworks.torch.convert import copy_of, shared_module
from gradreg_verify.frameworks.torch.precisions import DTYPES, gradient_of, tensor, to_numpy
from gradreg_verify.frameworks.torch.randomness import Randomness, seed_all
from gradreg_verify.outcomes import Broken
from gradreg_verify.subject.declaration import Declaration
from gradreg_verify.subject.watch import Patience


class TorchHarness(Harness):
    """A penalty of torch models, as anyone writes it."""

    def __init__(self, function: Any, declaration: Declaration, seconds: float) -> None:
        super().__init__(function, declaration, seconds)
        self.patience = Patience(seconds)
        self.generators: Sequence[Any] = randomness.generators_of(function)
        self.settings_changed: set[str] = set()

    def value(self, call: Call) -> Array:
        """Return what the function returns."""
        return self.value_of(call, *self.prepare(call))

    def gradient(self, call: Call) -> Array:
        """∇_θ of the sum of what it returns."""
        prepared = self.prepare(call)
        seed_all(call.supply.seed, self.generators)
        return self.backward(call, *prepared)

    def after_a_step(self, call: Call, moved: Network) -> tuple[Array, Array]:
        """Two calls of a model asked at other inputs and labels too: the last at moved weights."""
        module, x, y = self.prepare(call)
        after, *_ = self.prepare(replace(call, network=moved))
        self.value_of(call, module, x + 1, y)
        before = self.value_of(call, module, x, y)
        with torch.no_grad():
            for old, new in zip(module.parameters(), after.parameters(), strict=True):
                old.copy_(new)
        self.value_of(call, module, x, y.flip(0))
        return before, self.value_of(call, module, x, y)

    def value_of(self, call: Call, module: nn.Module, x: Tensor, y: Tensor) -> Array:
        """The value of a model that is there already."""
        seed_all(call.supply.seed, self.generators)
        return to_numpy(self.forward(call, module, x, y))

    def gradient_of_both(self, call: Call, other: Call) -> Array:
        """∇_θ of the sum of two calls' values, the second one made before the gradient is."""
        module, *first = self.prepare(call)
        _, *second = self.prepare(other)
        values = []
        for one, at in (call, first), (other, second):
            seed_all(one.supply.seed, self.generators)
            values.append(self.forward(one, module, *at).sum())
        return self.differentiated(call, sum(values[1:], values[0]), module)

    def of_a_changing_model(self, call: Call) -> tuple[Array, list[float]]:
        """The value for a model that multiplies its logits by a random factor in every pass."""
        module, x, y = self.prepare(replace(call, training=True))
        factor = _RandomFactor(x)
        return self.value_of(call, nn.Sequential(module, factor).train(), x, y), factor.drawn

    def two_gradients(self, call: Call) -> tuple[Array, Array]:
        """Return the gradients of two calls in a row; a generator passed in lives through both."""
        prepared = self.prepare(call)
        given = torch.Generator(call.device).manual_seed(call.supply.seed)
        seed_all(call.supply.seed, self.generators)
        first = self.backward(call, *prepared, generator=given)
        return first, self.backward(call, *prepared, generator=given)

    def draws(self, call: Call, *, values: bool = True) -> list[Draw]:
        """The calls of random functions in one call, always with their values."""
        del values
        prepared = self.prepare(call)
        seed_all(call.supply.seed, self.generators)
        with Randomness() as watched:
            self.forward(call, *prepared)
        return watched.draws

    def states_after(self, call: Call) -> Sequence[bytes]:
        """The states that one call leaves generators in, the one that it was given, too."""
        prepared = self.prepare(call)
        given = torch.Generator(call.device).manual_seed(call.supply.seed)
        seed_all(call.supply.seed, self.generators)
        self.forward(call, *prepared, generator=given)
        return randomness.states_of([*self.generators, given])

    def side_effects(self, call: Call, *, random: bool) -> list[str]:
        """What a call in training mode leaves changed, in words."""
        return effects.of_calls(self, call, random=random)

    def prepare(self, call: Call) -> tuple[nn.Module, Tensor, Tensor]:
        """Model, inputs and labels."""
        dtype, device = call.dtype, call.device
        module = copy_of(shared_module(call.network, DTYPES[dtype], device))
        if call.training:
            module.train()
        if call.frozen:
            next(module.parameters()).requires_grad_(False)
        x = tensor(call.x, dtype, device).requires_grad_(call.requires_grad)
        return module, x, tensor(call.y, dtype, device)

    def backward(self, call: Call, module: nn.Module, x: Tensor, y: Tensor, **more: Any) -> Array:
        """The parameter gradient, flat."""
        return self.differentiated(call, self.forward(call, module, x, y, **more), module)

    def differentiated(self, call: Call, value: Tensor, module: nn.Module) -> Array:
        """∇_θ of the sum of a value, flat."""
        if not value.requires_grad:
            raise Broken("the value has no graph (detached, or made without create_graph=True)")
        with self.patience.limit("backward", call.x.shape, call.dtype, module.training):
            return gradient_of(call.weight * value, module, call.only)

    def forward(
        self,
        call: Call,
        module: nn.Module,
        x: Tensor,
        y: Tensor,
        *,
        generator: torch.Generator | None = None,
        default: str = "",
    ) -> Tensor:
        """The function's value; whatever it raises becomes `Broken`."""
        dtype, supply = call.dtype, call.supply
        probes = None if supply.probes is None else tensor(supply.probes, dtype, call.device)
        generator = generator or torch.Generator(x.device).manual_seed(supply.seed)
        with (
            answering(),
            warnings.catch_warnings(),
            randomness.default_dtype(DTYPES[default or dtype]),
            self.patience.limit(x.shape, dtype, module.training, call.no_grad, supply.feed is None),
            torch.no_grad() if call.no_grad else nullcontext(),
            nullcontext() if supply.feed is None else Randomness(supply.feed),
            settings.settings_kept(self.settings_changed),
        ):
            warnings.simplefilter("ignore")
            given = {"model": module, "x": x, "y": y}
            if "logits" in self.arguments:
                given["x"] = x = x if x.requires_grad else x.detach().requires_grad_()
                given["logits"] = module(x)
            got = self.answer(given, probes=probes, generator=generator)
        if probes is not None and not torch.equal(
            probes, tensor(supply.probes, dtype, call.device)
        ):
            self.settings_changed.add("the probes given")
        return _require_tensor(got)


class _Drawn(list[float]):
    """A list that copies of a model share."""

    def __deepcopy__(self, _: Any) -> "_Drawn":
        return self


class _RandomFactor(nn.Module):
    """Multiplies logits by a factor that dropout draws anew in every pass, in training mode."""

    def __init__(self, x: Tensor) -> None:
        super().__init__()
        self.ones, self.drawn = x.new_ones(64), _Drawn()

    def forward(self, z: Tensor) -> Tensor:
        """The logits times the factor, which is kept in `drawn`."""
        factor = F.dropout(self.ones, 0.5, self.training).mean()
        self.drawn.append(float(factor))
        return factor * z


def _require_tensor(got: Any) -> Tensor:
    """A floating tensor, or what came instead."""
    if not isinstance(got, Tensor):
        raise Broken(f"expected a tensor, got {type(got).__name__} {got!r:.60}: it has no gradient")
    if not got.is_floating_point():
        raise Broken(f"expected a floating tensor, got {got.dtype}")
    if not torch.isfinite(got).all():
        raise Broken(f"expected a finite value, got {got!r:.60}")
    return got
