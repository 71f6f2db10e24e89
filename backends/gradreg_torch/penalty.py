"""The base of the `nn.Module` twins: a function of this package with its options kept."""

import inspect
from collections.abc import Callable
from typing import Any, ClassVar

from torch import Tensor, nn

from gradreg_torch.forward_pass import Inputs, ModelOrLogits


class Penalty(nn.Module):
    """A penalty with its options kept, called as ``penalty(model, x)`` or ``penalty(logits, x)``.

    Every twin takes labels, ``penalty(model, x, y)``, so that one can stand for another in a
    training loop; those without labels in their formula do not look at them.

    Parameters
    ----------
    **options
        The keyword arguments of the function of the same name. Unknown names raise TypeError.
    """

    function: ClassVar[Callable[..., Tensor]]
    takes_labels: ClassVar[bool] = False

    def __init__(self, **options: Any) -> None:
        super().__init__()
        known = inspect.signature(self.function).parameters.values()
        names = [p.name for p in known if p.kind is p.KEYWORD_ONLY]
        for name in options:
            if name not in names:
                raise TypeError(
                    f"expected options of {type(self).__name__} among {', '.join(names)}; "
                    f"got {name!r}"
                )
        self.options = options

    def forward(
        self, model: ModelOrLogits, x: Inputs, y: Tensor | None = None, **options: Any
    ) -> Tensor:
        """The function's value at these inputs; `options` (probes, say) win over those kept."""
        labels = (y,) if self.takes_labels else ()
        return self.function(model, x, *labels, **(self.options | options))

    def for_loss(self, loss: Any) -> dict[str, Any]:
        """Options that follow from the loss that is trained with; none, mostly."""
        del loss
        return {}

    def extra_repr(self) -> str:
        """The options, as they were given."""
        return ", ".join(f"{name}={value!r}" for name, value in self.options.items())
