"""Results in a folder, a file for each run: a sweep that was stopped finds what it has."""

import hashlib
import io
import json
import math
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gradreg_experiments.files import write_atomically
from gradreg_experiments.runs import parallel
from gradreg_experiments.runs.description import Run
from gradreg_experiments.runs.images import fingerprint
from gradreg_experiments.runs.training import Outcome
from gradreg_verify.report import history

PACKAGES = ("gradreg-ref", "torch", "numpy")


@dataclass(frozen=True)
class Store:
    """The folder.

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
        content = path.read_bytes()
        try:
            record = json.loads(content)
            same = record["images"] == fingerprint(run.data, self.data)
            provenance(record)
            return from_record(record["outcome"], run) if same else None
        # Whatever may come of a record that is not ours.
        except (ValueError, LookupError, TypeError, OverflowError, RecursionError) as error:
            raise ValueError(
                f"expected the result of a run in {path}, got: {error}; delete it to run it again"
            ) from error

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
        kept = json.loads(self.result(run).read_bytes()).get("weights")  # earlier ones have no sum
        try:
            if kept not in (None, digest(content)):
                raise ValueError(f"others than those of {self.result(run).name}")
            state: dict[str, Tensor] = torch.load(
                io.BytesIO(content), map_location="cpu", weights_only=True
            )
        except Exception as error:  # whatever a damaged file makes of torch's reader
            raise ValueError(damaged(path, error)) from error
        return state

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
        text = json.dumps(record, indent=1) + "\n"
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


def damaged(path: Path, error: Exception) -> str:
    """The sentence on weights that cannot be used."""
    return (
        f"expected the weights of a run in {path}, got: {error}; delete it, and its .json, to run "
        "it again"
    )


def from_record(record: dict[str, Any], run: Run) -> Outcome:
    """Of this run; a figure that is null was NaN.

    Raises
    ------
    ValueError, TypeError, LookupError, OverflowError
        It is no record of this run, or has a figure that cannot be.
    """
    recorded = Run(**record["run"])
    if recorded.id != run.id:
        raise ValueError(f"the result of another run, {recorded.chosen}")
    read: dict[str, Any] = {"run": run, "diverged": whole(record, "diverged", run.iterations)}
    read["stacked"] = whole(record, "stacked", None) or 1
    for name in ("train", "validation", "test", "top5"):
        part = run.validation if name == "validation" else 1
        read[name] = figure(record, name, 1, empty=not part)
    read["loss"] = figure(record, "loss", math.inf, empty=True)  # NaN where a run diverged
    read["seconds"] = figure(record, "seconds", math.inf, empty=False)
    return Outcome(**read)


def provenance(record: dict[str, Any]) -> None:
    """What a table says of its runs is there."""
    if not isinstance(record["versions"], dict) or not isinstance(record["machine"], str):
        raise ValueError("versions or machine that cannot be")


def figure(record: dict[str, Any], name: str, most: float, empty: bool) -> float:
    """A number from 0 to the most; NaN where it is null and may be."""
    value = record[name]
    if value is None and empty:
        return float("nan")
    if type(value) not in (int, float) or not 0 <= value <= most:
        raise ValueError(f"{name} = {value!r}")
    return float(value)


def whole(record: dict[str, Any], name: str, most: float | None) -> int | None:
    """A whole number from 1; None where it is null or not there."""
    value = record.get(name)
    if value is not None and (type(value) is not int or not 0 < value <= (most or math.inf)):
        raise ValueError(f"{name} = {value!r}")
    return value
