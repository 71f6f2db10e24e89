"""What was asked for on the command line."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gradreg_experiments.toy.problem import PAPER, Task


@dataclass(frozen=True)
class Request:
    """Options of ``gradreg reproduce``.

    Parameters
    ----------
    out : Path
        Folder for tables and figures, and ``runs/`` in it for single results.
    folder : Path or None
        With the published data sets; without, the embedded one is taken.
    data : tuple of str
        Data sets; empty for all of the experiment's that the folder has.
    rows, arms : tuple of str
        What is trained of a table; empty for all. The rest is marked NOT RUN, unless it is there.
    seeds : int or None
        How many, from 1; 10, as the paper.
    protocol : str
        A name of `gradreg_experiments.reproduce.protocols.PROTOCOLS`.
    iterations : int or None
        In place of the protocol's.
    width : int or None
        Of the residual net, in place of the protocol's.
    budget : float or None
        Seconds; decides on seeds and iterations.
    jobs : int
        Processes.
    stack : bool
        Seeds of a cell trained as one model.
    tables : bool
        Run nothing: tables of what is there.
    changes : dict
        Fields of every run: device, amp, compile.
    task : Task
        Of the toy problem.
    command : str
        The command line.
    """

    out: Path
    folder: Path | None
    data: tuple[str, ...]
    rows: tuple[str, ...]
    arms: tuple[str, ...]
    seeds: int | None
    iterations: int | None
    width: int | None
    budget: float | None
    jobs: int
    stack: bool
    tables: bool
    changes: dict[str, Any]
    command: str
    protocol: str = "paper"
    task: Task = PAPER
