"""What the command line names: ``path/to/file.py:penalty`` or ``package.module:penalty``."""

import importlib
import importlib.util
import sys
from pathlib import Path
from typing import Any

from gradreg_verify.outcomes import raised

_LARGEST = 8 << 20  # bytes: Python reads a file whole, and takes many times its size in memory


def locate(spec: str) -> Any:
    """The object of that name; importing its file runs it.

    Raises
    ------
    ValueError
        No such file, module or name; or importing it fails.
    """
    where, _, name = spec.rpartition(":")
    if not where or not name:
        raise ValueError(
            f"expected path/to/file.py:NAME or package.module:NAME, got {spec!r}; NAME is what "
            "the file defines"
        )
    found = _module_of(where)
    for part in name.split("."):
        if not hasattr(found, part):
            public = ", ".join(n for n in vars(found) if not n.startswith("_"))[:200]
            raise ValueError(f"expected {part!r} in {where}, which has {public}")
        found = getattr(found, part)
    return found


def _module_of(where: str) -> Any:
    """The module in a file or of a dotted name."""
    path = Path(where)
    is_file = where.endswith(".py") or path.exists()
    if is_file and not path.is_file():
        raise ValueError(f"expected a Python file, got {where!r}, which is no file")
    if is_file and path.stat().st_size > _LARGEST:
        raise ValueError(f"expected a Python file of at most {_LARGEST} bytes, got {where!r}")
    try:
        if not is_file:
            sys.path.insert(0, "")
            return importlib.import_module(where)
        sys.path.insert(0, str(path.parent.resolve()))
        description = importlib.util.spec_from_file_location(path.stem, path)
        assert description is not None
        assert description.loader is not None
        module = importlib.util.module_from_spec(description)
        sys.modules.setdefault(path.stem, module)
        description.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise ValueError(f"importing {where} raised {raised(error)}") from error
    return module
