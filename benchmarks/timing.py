"""How every benchmark here measures: turns in random order, ratios within a turn, one record."""

import argparse
import json
import platform
import random
import shlex
import statistics
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from gradreg_verify.frameworks.registry import Backend, BackendUnavailable, require_device

# The same training in every framework.
LAM = 0.01
RATE = 1e-3


def take_turns(clocks: dict[str, Callable[[], float]], turns: int) -> dict[str, list[float]]:
    """Seconds of every variant in every turn; a slow moment of the machine is everybody's."""
    taken: dict[str, list[float]] = {variant: [] for variant in clocks}
    order = list(clocks)
    for turn in range(turns):
        random.Random(turn).shuffle(order)  # what ran before leaves caches and pools behind
        for variant in order:
            taken[variant].append(clocks[variant]())
    return taken


def summary(times: list[float], base: list[float]) -> dict[str, Any]:
    """Medians over turns, of the time and of its ratio to the base of that turn."""
    ratios = [t / p for t, p in zip(times, base, strict=True)]
    return {
        "milliseconds": round(1e3 * statistics.median(times), 3),
        "ratio": round(statistics.median(ratios), 3),
        "quartiles": [round(q, 3) for q in statistics.quantiles(ratios, n=4)],
    }


def parser(description: str | None) -> argparse.ArgumentParser:
    """The command line that all benchmarks share."""
    shared = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    shared.add_argument("--device", default="cpu")
    shared.add_argument("--turns", type=int, default=21)
    shared.add_argument("--out", type=Path)
    return shared


def parser_of_networks(
    description: str | None, networks: Iterable[str], classes: list[int]
) -> argparse.ArgumentParser:
    """The command line of the benchmarks of a training step."""
    shared = parser(description)
    shared.add_argument("--networks", nargs="*", default=list(networks), choices=list(networks))
    shared.add_argument("--only", default="", help="variants whose name has this in it")
    shared.add_argument("--classes", nargs="*", type=int, default=classes)
    return shared


def checked(command_line: argparse.ArgumentParser, backend: Backend) -> argparse.Namespace:
    """The arguments, or a sentence before anything is measured."""
    given = command_line.parse_args()
    if given.turns < 2:
        command_line.error(f"expected --turns >= 2, for quartiles, got {given.turns}")
    if min(getattr(given, "classes", None) or [2]) < 2:
        command_line.error(f"expected --classes >= 2, got {given.classes}")
    try:
        require_device(backend, given.device)
    except (ValueError, BackendUnavailable) as error:
        command_line.error(str(error))
    try:
        if given.out:
            given.out.parent.mkdir(parents=True, exist_ok=True)
            if given.out.exists():
                json.loads(given.out.read_text(encoding="utf-8"))["rows"]
    except (ValueError, LookupError, TypeError, OSError) as error:
        command_line.error(f"expected earlier results, or none, in {given.out}, got: {error!r}")
    return given


def provenance(framework: str, version: str, device: str) -> dict[str, Any]:
    """Return what was run, and where."""
    script = f"benchmarks/{Path(sys.argv[0]).name}"
    return {
        "commands": [shlex.join(["python", script, *sys.argv[1:]])],
        framework: version,
        "python": platform.python_version(),
        "device": device,
        "machine": platform.processor() or platform.machine(),
    }


def write(result: dict[str, Any], out: Path | None) -> None:
    """Write as JSON; rows of other networks, of the same framework and device, stay."""
    if out is None:
        return
    if out.exists():
        old = json.loads(out.read_text(encoding="utf-8"))
        same = [key for key in ("torch", "jax", "device", "machine") if key in result]
        if all(old.get(key) == result[key] for key in same):
            new = {(row["network"], row["m"]) for row in result["rows"]}
            kept = [row for row in old["rows"] if (row["network"], row["m"]) not in new]
            commands = dict.fromkeys(old["commands"] + result["commands"])
            result = old | result | {"rows": kept + result["rows"], "commands": [*commands]}
    _save(result, out)


def finish(provenance: dict[str, Any], rows: list[dict[str, Any]], out: Path | None) -> None:
    """Print the rows, and write them as JSON in place of what is there."""
    for row in rows:
        print(row)
    if out:
        _save(provenance | {"rows": rows}, out)


def _save(result: dict[str, Any], out: Path) -> None:
    """Write as JSON, into a folder that `checked` has made."""
    out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
