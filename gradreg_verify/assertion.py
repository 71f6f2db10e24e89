"""Verification as a test: ``assert_conforms(my_penalty, "frobreg", scale=0.5)``."""

from collections.abc import Callable
from typing import Any

from gradreg_verify.frameworks.registry import Backend
from gradreg_verify.run import verify


def assert_conforms(
    implementation: Backend | Callable[..., Any], kind: str | None = None, **options: Any
) -> None:
    """Raise AssertionError, with the whole report, unless every claim holds.

    Parameters
    ----------
    implementation, kind, options
        As in `verify`.

    Raises
    ------
    AssertionError
        A claim fails, or none could be checked.
    """
    report = verify(implementation, kind, **options)
    if not report.ok:
        raise AssertionError(str(report))
