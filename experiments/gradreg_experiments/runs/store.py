"""Results in a folder, a file for each run: a sweep that was stopped finds what it has."""

import io
import json
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import nn

from gradreg_experiments.files import write_atomically
from gradreg_experiments.runs.description import Run
from gradreg_experiments.runs.images import fingerprint
from gradreg_experiments.runs.training import Outcome
from gradreg_ref.verify import history

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
        return self.folder / f"{runs[0].id}-{len(runs)}.checkpoint"

    def find(self, run: Run) -> Outcome | None:
        """What came of it; None if it has not been run, or on other images.

        Raises
        ------
        ValueError
            The file is not one of ours.
        """
        path = self.folder / f"{run.id}.json"
        if not path.exists():
            return None
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            same = record["images"] == fingerprint(run.data, self.data)
            return from_record(record["outcome"], run) if same else None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(
                f"expected the result of a run in {path}, got: {error}; delete it to run it again"
            ) from error

    def weights(self, run: Run) -> Path:
        """Of its trained network."""
        return self.folder / f"{run.id}.weights"

    def keep(self, outcome: Outcome, network: nn.Module) -> None:
        """The weights, then the figures: where these are, the run is whole."""
        self.folder.mkdir(parents=True, exist_ok=True)
        torch.save(network.state_dict(), buffer := io.BytesIO())
        write_atomically(self.weights(outcome.run), buffer.getvalue())
        record = {
            "outcome": {name: null(value) for name, value in asdict(outcome).items()},
            "images": fingerprint(outcome.run.data, self.data),
            "versions": versions(),
            "verified": history.last("torch", outcome.run.device, f"torch {torch.__version__}"),
            "machine": f"{platform.system()} {platform.machine()}",
        }
        text = json.dumps(record, indent=1) + "\n"
        write_atomically(self.folder / f"{outcome.run.id}.json", text.encode())


def versions() -> dict[str, str]:
    """Of what decides the numbers."""
    return {"python": platform.python_version()} | {name: version(name) for name in PACKAGES}


def null(value: Any) -> Any:
    """JSON has no NaN."""
    return None if isinstance(value, float) and value != value else value


def from_record(record: dict[str, Any], run: Run) -> Outcome:
    """Of this run; a figure that is null was NaN."""
    figures: dict[str, Any] = {
        name: float("nan") if value is None and name != "diverged" else value
        for name, value in record.items()
    }
    return Outcome(**(figures | {"run": run}))
