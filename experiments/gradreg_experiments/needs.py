"""Packages that must be installed."""

from importlib.util import find_spec

from gradreg_verify.frameworks.registry import BackendUnavailable, install

_PACKAGES = {"PIL": "Pillow", "sklearn": "scikit-learn"}  # of modules with another name
TRAINING = ("torch", "matplotlib", "rich", "sklearn", "PIL")


def need(what: str, *modules: str, extra: str = "experiments") -> None:
    """Raise an error that says how to install a missing module."""
    for module in modules:
        if find_spec(module) is None:
            raise BackendUnavailable(
                f"{what} needs {_PACKAGES.get(module, module)}, which is not installed; "
                + install(extra)
            )
