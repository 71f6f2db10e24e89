"""Code shared by the frameworks: it finds a backend's functions by the table of penalties."""

from collections.abc import Callable, Iterator
from functools import cache, partial
from types import ModuleType
from typing import Any, ClassVar, get_args

from gradreg_ref.penalties import PENALTIES, Penalty
from gradreg_ref.typing import Law
from gradreg_verify.frameworks.harness import Harness
from gradreg_verify.subject.declaration import Declaration
from gradreg_verify.subject.declared import DeclaredPenalty

_Declared = tuple[Callable[..., Any], Declaration]
# Seconds. For our own functions the limit only ends hanging calls; slow machines compile slowly.
_OWN_LIMIT = 600.0


class OneByOne:
    """The functions of a framework one by one, those of its backend and anyone's."""

    Harness: ClassVar[type[Harness]]
    declared: ClassVar[tuple[_Declared, ...]]

    def __init__(self) -> None:
        self.functions_declared = cache(self.find_functions)  # a harness takes long to make

    def under_test(
        self, function: Callable[..., Any], declaration: Declaration, device: str, seconds: float
    ) -> DeclaredPenalty:
        """One function, called with that time limit."""
        return DeclaredPenalty(self, self.Harness(function, declaration, seconds), device)

    def find_functions(self, device: str) -> list[DeclaredPenalty]:
        """The functions of this package, with what each of them is."""
        return [self.under_test(*declared, device, _OWN_LIMIT) for declared in self.declared]


def functions_of(
    package: ModuleType, logits: Callable[..., Any], weights: Callable[..., Any]
) -> dict[str, Callable[..., Any]]:
    """Return every penalty of a package as a function ``f(*model, x, y, **options)``, by name.

    Parameters
    ----------
    package : module
        Has a function of each row's name.
    logits : callable
        ``logits(*model, x)``, for penalties of the logits.
    weights : callable
        ``weights(*model)``, what a penalty of the weights takes.
    """

    def call(row: Penalty, *arguments: Any, **options: Any) -> Any:
        *model, x, y = arguments
        function = getattr(package, row.name)
        if row.of == "weights":
            return function(weights(*model))
        if row.of == "logits":
            return function(logits(*model, x), **options)
        labels = {"y": y} if row.labels else {}
        return function(*model, x, **labels, **options)

    return {name: partial(call, row) for name, row in PENALTIES.items()}


def declared_by(
    package: ModuleType, model: tuple[str, ...], draws: tuple[str, str], weights: str
) -> Iterator[_Declared]:
    """Return every function of a package, with its declaration.

    Parameters
    ----------
    package : module
        As in `functions_of`.
    model, draws : tuple of str
        The arguments that are the model, and those by which probes come in.
    weights : str
        The argument of a penalty of the weights.
    """
    for row in PENALTIES.values():
        if row.given_R:
            continue
        function = getattr(package, row.name)
        arguments = (*model, "x", "y") if row.labels else (*model, "x")
        if row.of == "weights":
            arguments = (weights,)
        elif row.of == "logits":
            arguments = ("logits",)
        drawing = partial(Declaration, row.name, arguments=(*arguments, *draws))
        if row.probes == "always":
            for law in get_args(Law):
                yield partial(function, probe=law), drawing(law)
            yield partial(function, mode="forward"), drawing("gaussian", side="input")
            continue
        yield function, Declaration(row.name, arguments=arguments)
        if row.probes == "optional":
            yield partial(function, num_probes=1), drawing("gaussian")
