"""The command line: ``gradreg quickstart | backends | verify | agree | data | reproduce | …``.

Exit status: 0 all is well, 1 a claim fails, 2 it could not run (and a sentence says why).
"""

import argparse
import io
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from gradreg_ref import __version__
from gradreg_ref.backends import BackendUnavailable, choose, load, names
from gradreg_ref.cli import agree, cite, data, reproduce, train, vectors, verify
from gradreg_ref.verify import history


def parser() -> argparse.ArgumentParser:
    """What can be asked for."""
    top = argparse.ArgumentParser(prog="gradreg", description="Penalties on input gradients.")
    top.add_argument("--version", action="version", version=f"gradreg-ref {__version__}")
    commands = top.add_subparsers(dest="command", required=True)

    quickstart = commands.add_parser(
        "quickstart", help="check the torch backend, train the toy problem, draw a figure"
    )
    quickstart.add_argument("--full", action="store_true", help="10,000 iterations and 10 seeds")
    quickstart.add_argument("--out", type=Path, default=Path("results/quickstart"))
    quickstart.add_argument("--device", default="cpu", help="of torch, or auto")
    quickstart.add_argument("--seeds", type=int)
    quickstart.add_argument("--iterations", type=int)
    quickstart.set_defaults(run=run_quickstart)

    backends = commands.add_parser("backends", help="which backends and devices are here")
    backends.set_defaults(run=run_backends)

    verify.add_to(commands)
    vectors.add_to(commands)
    agree.add_to(commands)
    data.add_to(commands)
    reproduce.add_to(commands)
    train.add_to(commands)
    cite.add_to(commands)
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
    except KeyboardInterrupt:
        print(f"gradreg {arguments.command}: interrupted", file=sys.stderr)
        return 2
    return status


def run_quickstart(arguments: argparse.Namespace) -> int:
    """The main job; needs the extra `experiments`."""
    for module in ("torch", "matplotlib", "rich"):
        if find_spec(module) is None:
            raise BackendUnavailable(
                f"quickstart needs {module}, which is not installed; "
                "pip install 'gradreg-ref[experiments]'"
            )
    from gradreg_experiments.toy.quickstart import run

    _, device = choose("torch", arguments.device)
    return run(
        out=arguments.out,
        full=arguments.full,
        device=device,
        seeds=arguments.seeds,
        iterations=arguments.iterations,
    )


def run_backends(_: argparse.Namespace) -> int:
    """One paragraph a backend, a line a device; or what to install."""
    for name in names():
        try:
            found = load(name).capabilities()
        except BackendUnavailable as missing:
            print(f"{name}: not available. {missing}")
            continue
        print(f"{name}: {found.framework}")
        print(f"    dtypes    {', '.join(found.dtypes)}")
        print(f"    modes     {', '.join(found.modes)}")
        for device, what in found.devices.items():
            print(f"    {device:9} {what}")
            print(f"              verified {history.last(name, device, found.framework)}")
    with suppress(BackendUnavailable):
        backend, device = choose()
        print(f"auto: {backend.name} on {device}")
    return 0
