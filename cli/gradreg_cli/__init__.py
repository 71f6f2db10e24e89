"""The command line: ``gradreg quickstart | backends | verify | agree | data | reproduce | …``.

A command is a module that the entry-point group ``gradreg.commands`` names. Exit status: 0 all is
well, 1 a claim fails, 2 the command could not run (a sentence says why).
"""

import argparse
import io
import os
import sys
from collections.abc import Sequence
from importlib.metadata import entry_points

from gradreg_ref import __version__
from gradreg_verify.frameworks.registry import BackendUnavailable

GROUP = "gradreg.commands"


def parser() -> argparse.ArgumentParser:
    """What can be asked for."""
    top = argparse.ArgumentParser(prog="gradreg", description="Penalties on input gradients.")
    top.add_argument("--version", action="version", version=f"gradreg-ref {__version__}")
    commands = top.add_subparsers(dest="command", required=True)
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        point.load().add_to(commands)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; what goes wrong is a sentence, never a traceback."""
    arguments = parser().parse_args(argv)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without ‖ still gets its verdicts
    try:
        status: int = arguments.run(arguments)
        if sys.stdout is not None:  # closed by the caller
            sys.stdout.flush()
    except BrokenPipeError:  # the reader has seen enough
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  # for the flush at exit
        return 2
    except (BackendUnavailable, ValueError, OSError) as error:
        print(f"gradreg {arguments.command}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as stopped:  # training says how to go on
        print(f"gradreg {arguments.command}: {str(stopped) or 'interrupted'}", file=sys.stderr)
        return 2
    return status
