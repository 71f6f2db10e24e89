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
        The folder with the published data sets; without a folder the embedded data set is taken.
    data : tuple of str
        Data sets; empty for all data sets of the experiment that the folder has.
    rows, arms : tuple of str
        What is trained of a table; empty for all. Other cells without a result are marked NOT RUN.
    seeds : int or None
        How many seeds, from 1; None for 10, as in the paper.
    protocol : str
        A name of `gradreg_experiments.reproduce.protocols.PROTOCOLS`.
    iterations : int or None
        Iterations of a run, in place of the protocol's iterations.
    width : int or None
        Width of the residual net, in place of the protocol's width.
    budget : float or None
        Seconds; decides on seeds and iterations.
    jobs : int
        How many processes run.
    stack : bool
        Seeds of a cell trained as one model.
    tables : bool
        Run nothing, and make the tables of the runs that are there.
    changes : dict
        Fields of every run: device, amp, compile.
    task : Task
        The task of the toy problem.
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
