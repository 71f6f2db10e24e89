"""Results in a folder, a file for each run: a stopped sweep finds the results that it has."""

import hashlib
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from gradreg_experiments.files import made_here
from gradreg_experiments.runs import parallel
from gradreg_experiments.runs.description import Run
from gradreg_experiments.runs.images import fingerprint
from gradreg_experiments.runs.training import Outcome
from gradreg_verify.files import opened, read_json, write_atomically
from gradreg_verify.report import history

T = TypeVar("T")


@dataclass(frozen=True)
class Store:
    """The folder, which `held` keeps to one process.

    Parameters
    ----------
    folder : Path
        Has ``ID.json`` and ``ID.weights`` of every run, and ``ID.checkpoint`` of unfinished runs.
    data : Path, optional
        The folder with the data sets.
    """

    folder: Path
    data: Path | None = None

    def checkpoint(self, runs: Sequence[Run]) -> Path:
        """The checkpoint of runs that are trained together."""
        ids = " ".join(run.id for run in runs)
        return self.folder / f"{_digest(ids.encode())[:16]}.checkpoint"

    def find(self, run: Run) -> Outcome | None:
        """The outcome of a run; None if there is none, or only one on other images.

        Raises
        ------
        ValueError
            The file is not one of ours.
        """
        if not self.result(run).exists():
            return None
        images = fingerprint(run.data, self.data)
        return self.read(
            run,
            lambda kept: from_record(kept["outcome"], run) if kept["images"] == images else None,
        )

    def read(self, run: Run, make: Callable[[dict[str, Any]], T]) -> T:
        """Pass the record of a run to `make`; return the result."""
        return read_json(
            self.result(run),
            "the result of a run",
            lambda record: make(require_sum(record)),
            remedy="delete it to run it again",
            finite=False,  # the loss of a run that diverged
        )

    def result(self, run: Run) -> Path:
        """The file of the figures."""
        return self.folder / f"{run.id}.json"

    def weights(self, run: Run) -> Path:
        """The file of the weights of the trained network."""
        return self.folder / f"{run.id}.weights"

    def state(self, run: Run) -> dict[str, Tensor]:
        """The weights of a run that `find` gives, for ``load_state_dict``.

        Raises
        ------
        ValueError
            The weights are not the weights that were kept.
        """
        path, kept = self.weights(run), self.read(run, lambda record: record.get("weights"))
        try:
            with opened(path) as file:
                # The sum first: only a file of ours is then taken into memory.
                if kept != hashlib.file_digest(file, "sha256").hexdigest():
                    raise ValueError(f"weights that do not belong to {self.result(run).name}")
                file.seek(0)
                state: dict[str, Tensor] = torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:  # torch's reader may raise anything on a damaged file
            raise ValueError(damaged(path, getattr(error, "strerror", None) or error)) from error
        return state

    def lost(self, run: Run) -> str:
        """Say what is wrong with the weights of a run that `find` gives; "" if nothing is wrong."""
        try:
            self.state(run)
        except ValueError as error:
            return str(error)
        return ""

    def keep(self, outcome: Outcome, network: nn.Module) -> None:
        """Write the weights, and then the figures: a run with figures is whole."""
        torch.save(network.state_dict(), buffer := io.BytesIO())
        weights = buffer.getvalue()
        write_atomically(self.weights(outcome.run), weights)
        record = {
            # JSON has no NaN.
            "outcome": {n: None if v != v else v for n, v in asdict(outcome).items()},
            "images": fingerprint(outcome.run.data, self.data),
            "weights": _digest(weights),
            "processes": parallel.size(),
            **made_here(),
            "verified": history.last("torch", outcome.run.device, f"torch {torch.__version__}"),
        }
        text = json.dumps(record | {"sum": sum_of(record)}, indent=1) + "\n"
        write_atomically(self.result(outcome.run), text.encode())


def _digest(content: bytes) -> str:
    """A sum of bytes, which shows one wrong bit."""
    return hashlib.sha256(content).hexdigest()


def sum_of(record: dict[str, Any]) -> str:
    """A sum of all that a record says."""
    said = {name: value for name, value in record.items() if name != "sum"}
    return _digest(json.dumps(said, sort_keys=True).encode())


def require_sum(record: dict[str, Any]) -> dict[str, Any]:
    """The record, unless it was changed after it was written."""
    if "sum" not in record:
        raise ValueError("one of an earlier version, without a sum")
    if record["sum"] != sum_of(record):
        raise ValueError("one that was changed after it was written (the sum does not fit)")
    return record


def damaged(path: Path, error: object) -> str:
    """The error for weights that cannot be used."""
    return (
        f"expected the weights of a run in {path}, got: {error}; delete it, and its .json, to run "
        "it again"
    )


def from_record(record: dict[str, Any], run: Run) -> Outcome:
    """The outcome of this run; a figure that is null was NaN.

    Raises
    ------
    ValueError, TypeError, LookupError
        The record is no record of this run.
    """
    recorded = Run(**record["run"])
    if recorded.id != run.id:
        raise ValueError(f"the result of another run, {recorded.chosen}")
    read: dict[str, Any] = {
        n: float("nan") if v is None and n != "diverged" else v for n, v in record.items()
    }
    for name, value in read.items():
        if name != "run" and value is not None and type(value) not in (int, float):
            raise ValueError(f"{name} = {value!r:.40}, which is no number")
    return Outcome(**(read | {"run": run}))
