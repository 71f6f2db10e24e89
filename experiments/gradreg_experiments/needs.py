"""What has to be installed."""

from importlib.util import find_spec

from gradreg_verify.frameworks.registry import BackendUnavailable, install

_PACKAGES = {"PIL": "Pillow", "sklearn": "scikit-learn"}  # of modules with another name
TRAINING = ("torch", "matplotlib", "rich", "sklearn", "PIL")


def need(what: str, *modules: str, extra: str = "experiments") -> None:
    """Refuse to go on without a module; the sentence says how to get it."""
    for module in modules:
        if find_spec(module) is None:
            raise BackendUnavailable(
                f"{what} needs {_PACKAGES.get(module, module)}, which is not installed; "
                + install(extra)
            )
