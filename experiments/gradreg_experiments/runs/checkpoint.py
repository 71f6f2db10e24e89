"""The state of a run, on disk now and then, so that a killed run goes on."""

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from gradreg_verify.files import write_atomically

_SUM = hashlib.sha256().digest_size  # bytes at the front of the file, over all that follow
_FIELDS = {"step", "seconds", "lost", "model", "optimiser", "scaler"}


@dataclass
class Checkpoint:
    """The file of a run.

    Parameters
    ----------
    path : Path
        The file, made at the first save.
    key : mapping
        What the checkpoint belongs to: the runs, say, or the images, each by the name that a
        sentence gives it.
    """

    path: Path
    key: Mapping[str, str]

    def save(self, step: int, seconds: float, state: dict[str, Any]) -> None:
        """Write the state whole, in place of the state before."""
        buffer = io.BytesIO()
        torch.save({"key": dict(self.key), "step": step, "seconds": seconds, **state}, buffer)
        payload = buffer.getvalue()
        write_atomically(self.path, hashlib.sha256(payload).digest() + payload)

    def load(self, device: str) -> dict[str, Any] | None:
        """The state; None where there is no checkpoint.

        Raises
        ------
        ValueError
            The checkpoint is damaged, or belongs to another run, other images or another torch.
        """
        if not self.path.exists():
            return None
        content = self.path.read_bytes()
        digest, payload = content[:_SUM], content[_SUM:]
        try:
            if hashlib.sha256(payload).digest() != digest:
                raise ValueError("a damaged one, or one of an earlier version of this package")
            buffer = io.BytesIO(payload)
            state: dict[str, Any] = torch.load(buffer, map_location=device, weights_only=True)
            other = [name for name, value in self.key.items() if state["key"].get(name) != value]
            if other:
                raise ValueError(f"one of another {' and another '.join(other)}")
            if missing := _FIELDS - state.keys():
                raise ValueError(f"one without {', '.join(sorted(missing))}")
        except Exception as error:  # whatever torch's reader makes of a file that is not ours
            problem = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise ValueError(
                f"expected a checkpoint of this run in {self.path}, got {problem}; "
                "delete it to begin anew"
            ) from error
        return state
