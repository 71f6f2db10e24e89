"""What is verified: a backend as it is, or a function with its declaration."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from gradreg_verify.claims.target import Target
from gradreg_verify.frameworks.registry import Backend, load, require_device
from gradreg_verify.subject.declaration import NAMES, Declaration
from gradreg_verify.subject.declared import DeclaredPenalty


def target_of(
    implementation: Any,
    kind: str | None,
    framework: str,
    device: str,
    seed: int,
    time_limit: float,
    declared: Mapping[str, Any],
) -> Target:
    """A backend as it is; a function behind its framework's harness."""
    if isinstance(implementation, Backend):
        if kind is not None or declared:
            raise ValueError("expected kind= and its options with a function, not with a backend")
        require_device(implementation, device)
        return Target(implementation, device, seed=seed)
    if not callable(implementation):
        raise TypeError(f"expected a backend or a function, got {implementation!r:.60}")
    backend: Any = load(framework)
    require_device(backend, device)
    declaration = _declaration_of(implementation, kind, declared)
    harness = backend.harness(implementation, declaration, time_limit=time_limit)
    return Target(DeclaredPenalty(harness, declaration, device), device, seed=seed)


def _declaration_of(function: Any, kind: str | None, declared: Mapping[str, Any]) -> Declaration:
    """Return what arguments and decorator declare; the arguments win."""
    attached: Declaration | None = getattr(function, "gradreg_declaration", None)
    given = {name: value for name, value in declared.items() if value is not None}
    if kind is not None:
        return Declaration(kind, **given)
    if attached is None:
        raise ValueError(
            f"expected a kind, the penalty that the function should compute ({', '.join(NAMES)}), "
            "got none; pass --kind frobreg, or from Python kind='frobreg'; or put "
            "@declare('frobreg') on the function"
        )
    return replace(attached, **given)
