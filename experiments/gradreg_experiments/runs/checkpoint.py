"""A run on disk: its state now and then, so that a killed one goes on."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from gradreg_experiments.files import write_atomically


@dataclass
class Checkpoint:
    """The file of a run.

    Parameters
    ----------
    path : Path
        Made at the first save.
    key : str
        Of the runs that it belongs to.
    """

    path: Path
    key: str

    def save(self, step: int, seconds: float, state: dict[str, Any]) -> None:
        """Whole, in place of the one before."""
        buffer = io.BytesIO()
        torch.save({"key": self.key, "step": step, "seconds": seconds, **state}, buffer)
        write_atomically(self.path, buffer.getvalue())

    def load(self, device: str) -> dict[str, Any] | None:
        """None where there is none.

        Raises
        ------
        ValueError
            It is of another run, or no checkpoint.
        """
        if not self.path.exists():
            return None
        try:
            state: dict[str, Any] = torch.load(self.path, map_location=device, weights_only=True)
            if state["key"] == self.key:
                return state
            problem = "that of another run"
        except Exception as error:  # whatever a damaged file makes of torch's reader
            problem = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(
            f"expected a checkpoint of this run in {self.path}, got {problem}; "
            "delete it to begin anew"
        )

    def remove(self) -> None:
        """The run has ended."""
        self.path.unlink(missing_ok=True)
