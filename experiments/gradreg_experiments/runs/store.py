"""Results in a folder, a file for each run: a sweep that was stopped finds what it has."""

import hashlib
import io
import json
import platform
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from gradreg_experiments.runs import parallel
from gradreg_experiments.runs.description import Run
from gradreg_experiments.runs.images import fingerprint
from gradreg_experiments.runs.training import Outcome
from gradreg_verify.files import read_json, write_atomically
from gradreg_verify.report import history

T = TypeVar("T")
PACKAGES = ("gradreg-ref", "torch", "numpy")


@dataclass(frozen=True)
class Store:
    """The folder, which `held` keeps to one process.

    Parameters
    ----------
    folder : Path
        ``ID.json`` and ``ID.weights`` of every run, ``ID.checkpoint`` of those that go on.
    data : Path, optional
        The folder with the data sets.
    """

    folder: Path
    data: Path | None = None

    def checkpoint(self, runs: Sequence[Run]) -> Path:
        """Of runs that are trained together."""
        ids = " ".join(run.id for run in runs)
        return self.folder / f"{digest(ids.encode())[:16]}.checkpoint"

    def find(self, run: Run) -> Outcome | None:
        """What came of it; None if it has not been run, or on other images.

        Raises
        ------
        ValueError
            The file is not one of ours.
        """
        path = self.result(run)
        if not path.exists():
            return None
        images = fingerprint(run.data, self.data)

        def outcome(record: dict[str, Any]) -> Outcome | None:
            return from_record(record["outcome"], run) if record["images"] == images else None

        return self.read(run, outcome)

    def read(self, run: Run, make: Callable[[dict[str, Any]], T]) -> T:
        """What `make` makes of the record of a run."""

        def of(record: Any) -> T:
            require_sum(record)
            return make(record)

        return read_json(
            self.result(run),
            "the result of a run",
            of,
            remedy="delete it to run it again",
            finite=False,  # the loss of a run that diverged
        )

    def result(self, run: Run) -> Path:
        """Its figures."""
        return self.folder / f"{run.id}.json"

    def weights(self, run: Run) -> Path:
        """Of its trained network."""
        return self.folder / f"{run.id}.weights"

    def state(self, run: Run) -> dict[str, Tensor]:
        """The weights of a run that `find` gives, for ``load_state_dict``.

        Raises
        ------
        ValueError
            They are not those that were kept.
        """
        path = self.weights(run)
        content = path.read_bytes()
        kept = self.read(run, lambda record: record.get("weights"))
        try:
            if kept != digest(content):
                raise ValueError(f"others than those of {self.result(run).name}")
            state: dict[str, Tensor] = torch.load(
                io.BytesIO(content), map_location="cpu", weights_only=True
            )
        except Exception as error:  # whatever a damaged file makes of torch's reader
            raise ValueError(damaged(path, error)) from error
        return state

    def lost(self, run: Run) -> str:
        """What is wrong with the weights of a run that `find` gives; nothing if nothing is."""
        try:
            self.state(run)
        except FileNotFoundError as error:
            return damaged(self.weights(run), error.strerror or error)
        except ValueError as error:
            return str(error)
        return ""

    def keep(self, outcome: Outcome, network: nn.Module) -> None:
        """The weights, then the figures: where these are, the run is whole."""
        self.folder.mkdir(parents=True, exist_ok=True)
        torch.save(network.state_dict(), buffer := io.BytesIO())
        weights = buffer.getvalue()
        write_atomically(self.weights(outcome.run), weights)
        record = {
            "outcome": {name: null(value) for name, value in asdict(outcome).items()},
            "images": fingerprint(outcome.run.data, self.data),
            "weights": digest(weights),
            "processes": parallel.size(),
            "versions": versions(),
            "verified": history.last("torch", outcome.run.device, f"torch {torch.__version__}"),
            "machine": f"{platform.system()} {platform.machine()}",
        }
        text = json.dumps(record | {"sum": sum_of(record)}, indent=1) + "\n"
        write_atomically(self.result(outcome.run), text.encode())


def versions() -> dict[str, str]:
    """Of what decides the numbers."""
    return {"python": platform.python_version()} | {name: version(name) for name in PACKAGES}


def null(value: Any) -> Any:
    """JSON has no NaN."""
    return None if isinstance(value, float) and value != value else value


def digest(content: bytes) -> str:
    """A sum, by which one wrong bit is noticed."""
    return hashlib.sha256(content).hexdigest()


def sum_of(record: dict[str, Any]) -> str:
    """Of all that a record says."""
    said = {name: value for name, value in record.items() if name != "sum"}
    return digest(json.dumps(said, sort_keys=True).encode())


def require_sum(record: dict[str, Any]) -> None:
    """What was written is what is read: a changed digit would be believed."""
    if "sum" not in record:
        raise ValueError("one of an earlier version, without a sum")
    if record["sum"] != sum_of(record):
        raise ValueError("one that was changed after it was written (its sum is another)")


def damaged(path: Path, error: object) -> str:
    """The sentence on weights that cannot be used."""
    return (
        f"expected the weights of a run in {path}, got: {error}; delete it, and its .json, to run "
        "it again"
    )


def from_record(record: dict[str, Any], run: Run) -> Outcome:
    """Of this run; a figure that is null was NaN.

    Raises
    ------
    ValueError, TypeError, LookupError
        It is no record of this run.
    """
    recorded = Run(**record["run"])
    if recorded.id != run.id:
        raise ValueError(f"the result of another run, {recorded.chosen}")
    nan = ("train", "validation", "test", "top5", "loss")
    read: dict[str, Any] = {
        n: float("nan") if v is None and n in nan else v for n, v in record.items()
    }
    return Outcome(**(read | {"run": run}))
