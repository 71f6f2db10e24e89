"""Compiled steps need torch 2.13. With an older torch, penalties stay out of what is compiled."""

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

import torch
from torch.torch_version import TorchVersion

_P = ParamSpec("_P")
_T = TypeVar("_T")


def eager_where_old(
    function: Callable[_P, _T], version: str = torch.__version__
) -> Callable[_P, _T]:
    """Return the function; with a torch before 2.13 it runs eagerly, or refuses fullgraph=True."""
    if TorchVersion(version) >= TorchVersion("2.13"):
        return function
    reason = (
        f"expected torch >= 2.13 for a penalty in a compiled step, got {version}; update torch, "
        "or leave out fullgraph=True"
    )
    disable: Any = torch.compiler.disable  # has no types
    return cast("Callable[_P, _T]", disable(function, reason=reason))
