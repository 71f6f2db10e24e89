"""The claims of `gradreg_verify`, printed as their verdicts come."""

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from gradreg_verify import Report, Result, verify
from gradreg_verify.frameworks.registry import load
from gradreg_verify.report import history


def verified(device: str, console: Console) -> Report:
    """Every claim for the torch backend on that device."""
    results: list[Result] = []
    with Live(verdicts(results), console=console, transient=True) as live:

        def show(result: Result) -> None:
            results.append(result)
            live.update(verdicts(results))

        report = verify(load("torch"), device=device, progress=show)
    console.print(verdicts(report.results))
    history.remember(report)
    return report


def verified_before(device: str, console: Console) -> bool:
    """Whether every claim holds; checked now, unless this machine has a verdict on this torch."""
    framework = load("torch").capabilities().framework
    said = history.last("torch", device, framework)
    if any(word in said for word in ("never", "verify again", "fail")):
        console.print("Checking every claim for the torch backend: up to a minute.")
        return verified(device, console).ok
    console.print(f"torch on {device}: verified {said}", markup=False, highlight=False)
    return True


def verdicts(results: Sequence[Result]) -> Table:
    """A line for each claim."""
    table = Table("claim", "sentence", "", "error and examples", box=SIMPLE_HEAD)
    table.add_column("s", justify="right", no_wrap=True)
    for r in results:
        colour = {"PASS": "green", "FAIL": "bold red"}.get(r.verdict, "yellow")
        # Text, as a sentence or a figure may hold brackets that rich would take for markup.
        cells = (Text(r.claim.id), Text(r.claim.sentence), Text(r.verdict, colour), Text(r.figure))
        table.add_row(*cells, f"{r.seconds:.1f}")
    return table
