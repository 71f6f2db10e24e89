"""``gradreg backends``: which backends and devices are here."""

import argparse
from contextlib import suppress
from typing import Any

from gradreg_cli.terminal import say
from gradreg_verify.frameworks.registry import BackendUnavailable, choose, load, names
from gradreg_verify.report import history


def add_to(commands: Any) -> None:
    """Add the command."""
    command = commands.add_parser(
        "backends",
        help="list the backends and devices of this machine",
        description="List the backends (torch, JAX, and loopback, which is the NumPy reference "
        "itself), what each can compute and on which devices, and when `gradreg verify` last "
        "checked it here. For a backend that is missing, say what to install.",
        epilog="example:\n  gradreg backends\n",
    )
    command.set_defaults(run=run)


def run(_: argparse.Namespace) -> int:
    """Print one paragraph per backend and one line per device, or what to install."""
    for name in names():
        try:
            found = load(name).capabilities()
        except BackendUnavailable as missing:
            say(f"{name}: not available. {missing}")
            continue
        say(f"{name}: {found.framework}")
        say(f"    dtypes    {', '.join(found.dtypes)}")
        say(f"    modes     {', '.join(found.modes)}")
        for device, what in found.devices.items():
            say(f"    {device:9} {what}")
            say(f"              verified {history.last(name, device, found.framework)}")
    with suppress(BackendUnavailable):
        backend, device = choose()
        say(f"auto: {backend.name} on {device}")
    return 0
