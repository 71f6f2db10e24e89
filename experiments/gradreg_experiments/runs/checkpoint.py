"""The state of a run, saved now and then, so that a killed run can be resumed."""

import hashlib
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from gradreg_verify.files import opened, write_atomically

_SUM = hashlib.sha256().digest_size  # bytes at the front of the file, over all that follow


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

    def load(self, device: str, form: Callable[[], dict[str, Any]]) -> dict[str, Any] | None:
        """The state; None where there is no checkpoint.

        `form` gives a state of the same form: keys, shapes and types. What takes up a state of
        another form may fail much later, or end the process.

        Raises
        ------
        ValueError
            The checkpoint is damaged, has another form, or belongs to another run, other images or
            another torch.
        """
        if not self.path.exists():
            return None
        try:
            buffer = io.BytesIO(self._payload())
            state: dict[str, Any] = torch.load(buffer, map_location=device, weights_only=True)
            other = [name for name, value in self.key.items() if state["key"].get(name) != value]
            if other:
                raise ValueError(f"one of another {' and another '.join(other)}")
            own = {"step": 0, "seconds": 0.0, "lost": {}, **form()}
            if missing := own.keys() - state.keys():
                raise ValueError(f"one without {', '.join(sorted(missing))}")
            if isinstance(state["lost"], dict):  # it has a step of each run that was lost
                own["lost"] = dict.fromkeys(state["lost"], 0)
            for name, value in own.items():
                _require_form(name, state[name], value)
        except Exception as error:  # whatever torch's reader makes of a file that is not ours
            problem = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise ValueError(
                f"expected a checkpoint of this run in {self.path}, got {problem}; "
                "delete it to begin anew"
            ) from error
        return state

    def _payload(self) -> bytes:
        """What follows the sum. The sum comes first: only a file of ours is taken into memory."""
        with opened(self.path) as file:
            if file.read(_SUM) != hashlib.file_digest(file, "sha256").digest():
                raise ValueError("a damaged one, or one of an earlier version of this package")
            file.seek(_SUM)
            return file.read()


def _require_form(where: str, found: Any, own: Any) -> None:
    """Refuse a value of another type, tensors of another shape, and tables of other keys."""
    if type(found) is not type(own):
        raise ValueError(f"one with {where} of type {type(found).__name__}")
    if isinstance(own, torch.Tensor):
        kinds = [(tuple(t.shape), t.dtype, t.layout) for t in (found, own)]
        if kinds[0] != kinds[1]:
            raise ValueError(f"one with {where} of {kinds[0]}, where the run has {kinds[1]}")
    elif isinstance(own, Mapping):
        if found.keys() != own.keys():
            raise ValueError(f"one with other keys of {where}")
        for name, value in own.items():
            _require_form(f"{where}.{name}", found[name], value)
    elif isinstance(own, list | tuple):
        if len(found) != len(own):
            raise ValueError(f"one with {len(found)} entries of {where}")
        for i, value in enumerate(own):
            _require_form(f"{where}.{i}", found[i], value)
    elif type(own) in (str, bool) and found != own:
        raise ValueError(f"one with {where} = {found!r:.40}")
