"""List the backends and devices of this machine.

List the backends (torch, JAX, and loopback, which is the NumPy reference itself), what each can
compute and on which devices, and when `gradreg verify` last checked it here. For a backend that is
missing, say what to install.

example:
  gradreg backends
"""

import argparse
from contextlib import suppress

from gradreg_cli.terminal import say
from gradreg_verify.frameworks.registry import BackendUnavailable, choose, load, names
from gradreg_verify.report import history


def add_options(command: argparse.ArgumentParser) -> None:
    """There are none."""


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
