"""The arguments of a function by its signature; its name; its source."""

import hashlib
import inspect
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

# What a parameter is, by the words that name it.
_WORDS = {
    "model": "model net network module f fn func critic discriminator d",
    "x": "x input inputs images image data xs samples real img imgs real_img real_images",
    "y": "y target targets label labels",
    "logits": "logits logit output outputs out z preds y_pred scores",
    "params": "params parameters theta weights variables",
    "probes": "probes",
    "generator": "generator",
    "key": "key",
}
_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_ANY = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
_KEYWORDS = ("probes", "generator", "key")


def callee(function: Any) -> Callable[..., Any]:
    """What says in its signature what the function takes: of a module, its `forward`.

    Raises
    ------
    ValueError
        A class, whose instances are functions.
    """
    if isinstance(function, type):
        raise ValueError(
            f"expected a function or an instance, got the class {function.__name__}; write "
            f"penalty = {function.__name__}() in the file, and name penalty"
        )
    shown: Callable[..., Any] = getattr(function, "forward", function)
    return shown


def arguments_of(function: Callable[..., Any]) -> tuple[str, ...]:
    """Model, inputs, labels, logits in their order, by the names of the parameters.

    Raises
    ------
    ValueError
        A required parameter that says nothing.
    """
    found = []
    for parameter in _free(function):
        role = _role_of(parameter.name)
        by_keyword = role in _KEYWORDS and parameter.kind != parameter.POSITIONAL_ONLY
        if role is not None and (parameter.kind in _POSITIONAL or by_keyword):
            found.append(role)
        elif parameter.default is parameter.empty and parameter.kind not in _ANY:
            raise ValueError(_how_to_say(function))
    if not {"model", "logits", "params"} & set(found):
        raise ValueError(_how_to_say(function))
    return tuple(found)


def _role_of(name: str) -> str | None:
    """Return what a parameter of that name is, if the name says it."""
    return next((role for role, words in _WORDS.items() if name.lower() in words.split()), None)


def _free(function: Callable[..., Any]) -> list[inspect.Parameter]:
    """The parameters that no `partial` binds."""
    bound = function.keywords if isinstance(function, partial) else {}
    return [p for p in inspect.signature(function).parameters.values() if p.name not in bound]


def _how_to_say(function: Callable[..., Any]) -> str:
    """Say that the parameter names say too little, and what each choice would mean."""
    names = [p.name for p in _free(function) if p.default is p.empty and p.kind in _POSITIONAL]
    choices, told = _CHOICES.get(len(names), ()), [_role_of(name) for name in names]

    def agreeing(roles: tuple[str, ...]) -> int:
        return sum(role == by_name for role, by_name in zip(roles, told, strict=True))

    likeliest = sorted(choices, key=agreeing, reverse=True)
    said = [
        f"  --arguments {','.join(roles)}: "
        + ", ".join(f"{name} is {_MEANING[role]}" for name, role in zip(names, roles, strict=True))
        for roles in likeliest
    ]
    roles = likeliest[0] if likeliest else ("model", "x", "y")
    return "\n".join(
        [
            "expected parameters whose names say what they are (model, x, y, logits), got "
            f"{name_of(function)}{inspect.signature(function)}; say what they are, in order"
            + (":" if said else ", as in --arguments model,x,y"),
            *said,
            f"(from Python: arguments={roles!r})",
        ]
    )


# What so many parameters may be, the likeliest first.
_CHOICES: dict[int, tuple[tuple[str, ...], ...]] = {
    1: (("logits",), ("model",)),
    2: (("x", "logits"), ("logits", "x"), ("model", "x")),
    3: (("model", "x", "y"), ("x", "logits", "y"), ("model", "params", "x")),
}
_MEANING = {
    "model": "the model",
    "params": "its parameters (JAX)",
    "x": "the inputs",
    "y": "the labels",
    "logits": "the model's outputs",
}


def required(function: Callable[..., Any], name: str) -> bool:
    """Whether a parameter of that name must be given."""
    parameter = inspect.signature(function).parameters.get(name)
    return parameter is not None and parameter.default is parameter.empty


def name_of(function: Any) -> str:
    """Return the name to print for a function."""
    if isinstance(function, partial):
        options = ", ".join(f"{k}={v!r}" for k, v in function.keywords.items())
        return f"{name_of(function.func)}({options})"
    name = getattr(function, "__qualname__", None) or type(function).__qualname__
    return str(name).replace("<locals>.", "")


def source_of(function: Any) -> dict[str, str]:
    """File and SHA-256 of the source file, where there is one."""
    while isinstance(function, partial):
        function = function.func
    subject = function if inspect.isroutine(function) else type(function)
    try:
        path = Path(inspect.getfile(subject))
        text = path.read_bytes()
    except (TypeError, OSError):
        return {"source": "not in a file"}
    return {"source": path.name, "sha256": hashlib.sha256(text).hexdigest()}
