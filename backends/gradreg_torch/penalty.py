"""The base of the `nn.Module` twins: a function of this package with its options kept."""

from collections.abc import Callable
from dataclasses import MISSING, fields
from typing import Any, ClassVar, TypeAlias

import torch
from torch import Tensor, nn

from gradreg_torch import _arguments, _rows
from gradreg_torch._engine import (
    Contraction,
    Evaluated,
    Inputs,
    ModelOrLogits,
    Options,
    checks,
    evaluate,
)
from gradreg_torch._engine.call import require_forward_mode, require_known
from gradreg_torch._engine.graph import is_functional
from gradreg_torch._engine.inputs import by_name, differentiated, first_of, select
from gradreg_torch._engine.sums import at_least_single, scaled
from gradreg_torch._engine.trial import can_be_read
from gradreg_torch._seen import Seen
from gradreg_torch._subset import Subset

Kept: TypeAlias = dict[str, Any]  # a penalty's options, and those of the call


class Penalty(nn.Module):
    """Penalty as a module that keeps its options: ``penalty(model, x)`` or ``penalty(logits, x)``.

    Every penalty accepts labels, ``penalty(model, x, y)``, so that you can exchange penalties in a
    training loop. A penalty without labels in its formula ignores them. Under `no_grad`, and after
    ``penalty.eval()``, `every` and `fraction` have no effect.

    Parameters
    ----------
    every : int
        k: evaluates the penalty in one training step of k, beginning with the first, and multiplies
        it by k; the other steps have the penalty 0 (lazy regularisation, Karras et al. 2020). At
        fixed parameters the mean over k steps is the penalty. Its variance is k times the variance
        of a mean of k evaluations.
    fraction : float
        f in (0, 1]: evaluates the penalty on k = round(f·n) examples, at least one, drawn without
        replacement. A sum is scaled by n/k. Unbiased; `gradreg_ref.moments.fraction_variance`
        computes the variance.
    generator : torch.Generator, optional
        Draws the probes, and the examples of a fraction.
    **options
        The other keyword arguments of the function of the same name. An unknown name raises
        TypeError, and a value that an option cannot have raises ValueError or TypeError.

    Notes
    -----
    ``state_dict()`` holds the state of the generator, and with `every` the step, as tensors, so a
    resumed run repeats the numbers of an uninterrupted run. A penalty with neither saves nothing.
    """

    R: ClassVar[Callable[..., Contraction]]
    takes_labels: ClassVar[bool]
    needs_labels: ClassVar[bool]
    names: ClassVar[frozenset[str]]  # of all options
    _own: ClassVar[frozenset[str]]  # of those that R takes
    _needed: ClassVar[set[str]]  # of these, those without a default

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        default = {field.name: field.default for field in fields(cls.R)}  # type: ignore[arg-type]
        cls.takes_labels, cls.needs_labels = "y" in default, default.get("y") is MISSING
        cls._own = frozenset(default.keys() - {"y"})
        cls._needed = {name for name in cls._own if default[name] is MISSING}
        cls.names = cls._own | Options.__annotations__.keys()

    def __init__(
        self,
        *,
        every: int = 1,
        fraction: float = 1.0,
        generator: torch.Generator | None = None,
        **options: Any,
    ) -> None:
        super().__init__()
        known = {"every", "fraction", "generator", *self.names}
        checks.option_names(type(self).__name__, options, known)
        self.every = checks.count("every", every, most=checks.MOST_NUMBERS)
        if not isinstance(generator, torch.Generator | None):
            raise TypeError(
                f"expected generator=torch.Generator(device).manual_seed(seed), got {generator!r}"
            )
        self.generator, self.step = generator, 0
        self._cut = Seen()  # models, with inputs beside x that were seen to be rows
        self.fraction = _arguments.fraction(fraction, generator)
        _arguments.whole_batch(self.every, self.fraction, options)
        require_known(**options)
        if needed := self._needed - options.keys():
            raise TypeError(f"expected {type(self).__name__}({needed.pop()}=...), which it needs")
        R = self.contraction(None, options)
        if options.get("mode") == "forward":
            require_forward_mode(R)
        self.options = options
        if generator is not None and self.fraction == 1:
            if "generator" not in self._own:
                raise TypeError(
                    f"expected {type(self).__name__} without generator, because it draws nothing; "
                    "leave generator out"
                )
            self.contraction(None, options | {"generator": generator})  # or its own refusal

    def forward(
        self, model: ModelOrLogits, x: Inputs, y: Tensor | None = None, **options: Any
    ) -> Tensor:
        """Compute the penalty at these inputs; `options` (probes, say) replace the options kept."""
        return self.called(model, x, y, self.options | options)[0]

    def called(
        self, model: ModelOrLogits, x: Inputs, y: Tensor | None, kept: Kept
    ) -> tuple[Tensor, bool]:
        """Return the penalty, and whether checks that read values ran."""
        if not self.in_training():
            value, _, reads = self.evaluated(model, x, y, kept)
            return value, reads
        if not self.due(kept):
            return self.zero(x, kept), False
        if self.fraction == 1:
            value, _, reads = self.evaluated(model, x, y, kept)
            return scaled(value, self.every), reads
        if isinstance(model, Tensor):  # its graph is of the whole batch, and nothing is saved
            raise ValueError(
                "expected a model, because fraction runs the model on a part of the batch, got "
                "logits; pass the model, or use objective"
            )
        value, _, reads = self.of_part(model, self.subset(model, x, kept), y, kept)
        return value, reads

    def evaluated(
        self, model: ModelOrLogits, x: Inputs, y: Tensor | None, kept: Kept, update: bool = False
    ) -> Evaluated:
        """The value without `every` and `fraction`, and the model's output."""
        R = self.contraction(y, kept)
        options: Any = {name: value for name, value in kept.items() if name not in self._own}
        return evaluate(model, x, R, update, **options)

    def contraction(self, y: Tensor | None, kept: Kept) -> Contraction:
        """R of these labels and options."""
        own = {name: value for name, value in kept.items() if name in self._own}
        if self.takes_labels:
            return self.R(y=y, **own)
        R = self.R(**own)
        return self.R(**own, generator=self.generator) if R.draws and "generator" not in own else R

    def in_training(self) -> bool:
        """Whether a call is a training step."""
        return torch.is_grad_enabled() and self.training

    def due(self, kept: Kept) -> bool:
        """Count this training step; say whether it has a penalty with these options."""
        _arguments.whole_batch(self.every, self.fraction, kept)
        if self.every > 1 and torch.compiler.is_compiling():
            raise ValueError(
                "expected every=1 in a compiled step; compile one step with the penalty and one "
                "without, and choose between them in the training loop"
            )
        if self.every == 1:
            return True
        vars(self)["step"] += 1  # what a module does where an attribute is set takes longer
        return (self.step - 1) % self.every == 0

    def zero(self, x: Inputs, kept: Kept) -> Tensor:
        """Zero, for a step without a penalty."""
        first = self.first(x, kept)
        shape = first.shape[:1] if kept.get("reduction") == "none" else ()
        return at_least_single(first.new_zeros(shape))

    def first(self, x: Inputs, kept: Kept) -> Tensor:
        """An input that is differentiated."""
        return x if isinstance(x, Tensor) else differentiated(x, kept.get("wrt"))

    def subset(self, model: ModelOrLogits, x: Inputs, kept: Kept) -> Subset:
        """The examples of this step."""
        if torch.compiler.is_compiling():
            raise ValueError(
                "expected fraction=1 in a compiled step, which no generator can enter, got "
                f"fraction={self.fraction}; leave out fullgraph=True"
            )
        assert self.generator is not None
        if isinstance(x, Tensor):
            return Subset.drawn(x, x, self.fraction, self.generator)
        differentiated = select(by_name(x), kept.get("wrt"))
        first = first_of(differentiated)
        part = Subset.drawn(x, first, self.fraction, self.generator)
        beside = _rows.beside_examples(x, differentiated, len(first))
        if beside and can_be_read(first) and not is_functional():
            assert callable(model)  # logits have no parts
            if not self._cut.has(model, beside):
                _rows.require_examples(model, x, part, beside)
                self._cut.add(model, beside)
        return part

    def of_part(
        self, model: ModelOrLogits, part: Subset, y: Tensor | None, kept: Kept, update: bool = False
    ) -> Evaluated:
        """The penalty of the examples of a subset, scaled to the batch, and their output."""
        if kept.get("batchnorm", "batch") == "batch":
            kept = kept | {"batchnorm": "error"}  # of a part it would be another number
        cut = ("R",) if kept.get("shared_probe") else ("R", "probes")
        own = {name: kept[name] for name in cut if kept.get(name) is not None}
        kept = kept | {name: part.of(name, t) for name, t in own.items() if not callable(t)}
        labels = None if y is None else part.of("y", y)
        value, output, reads = self.evaluated(model, part.x, labels, kept, update)
        scale = part.scale if kept.get("reduction") == "sum" else 1
        return Evaluated(scaled(value, self.every * scale), output, reads)

    def for_loss(self, loss: Any) -> dict[str, Any]:
        """Options that follow from the loss that is trained; most penalties have none."""
        del loss
        return {}

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        """Save the step, if it matters, and the state of the generator, both as tensors."""
        super()._save_to_state_dict(destination, prefix, keep_vars)
        destination.update({prefix + name: t for name, t in self._state().items()})

    def _load_from_state_dict(self, state: Any, prefix: str, *rest: Any) -> None:
        """Load what `_save_to_state_dict` saved; report keys that are missing or unexpected."""
        _, strict, missing, unexpected, errors = rest
        own = {prefix + name for name in self._state()}
        given = {key for key in (prefix + "step", prefix + "generator") if key in state}
        missing += sorted(own - given)
        unexpected += sorted(given - own) if strict else []
        try:
            if prefix + "step" in own & given:
                step = state[prefix + "step"]
                step = step.item() if isinstance(step, Tensor) else step
                self.step = checks.count("step", step, least=0, most=2**63 - 1)
            if prefix + "generator" in own & given and self.generator is not None:
                self.generator.set_state(state[prefix + "generator"].cpu())
        except (RuntimeError, TypeError, ValueError, AttributeError) as error:
            errors.append(
                f"expected the state of {self!r} as state_dict() saved it, got another: {error}; "
                "make the penalty with the same options, and load what it saved"
            )

    def _state(self) -> dict[str, Tensor]:
        """Return the state with which a resumed run repeats the numbers of an uninterrupted one."""
        state = {} if self.generator is None else {"generator": self.generator.get_state()}
        return state | ({"step": torch.tensor(self.step, device="cpu")} if self.every > 1 else {})

    def extra_repr(self) -> str:
        """Return the options, as they were given."""
        own = {"every": self.every, "fraction": self.fraction}
        kept = self.options | {name: value for name, value in own.items() if value != 1}
        return ", ".join(f"{name}={value!r}" for name, value in kept.items())
