"""The claims of `gradreg_verify`; verdicts are printed as they come."""

from rich.console import Console
from rich.text import Text

from gradreg_verify import Result, verify
from gradreg_verify.frameworks.registry import load
from gradreg_verify.report import history
from gradreg_verify.report.progress import row

_COLOURS = {"PASS": "green", "FAIL": "bold red"}


def verified(device: str, console: Console) -> bool:
    """Whether every claim holds for the torch backend on that device."""

    def show(result: Result) -> None:
        line = Text(row(result, console.width if console.is_terminal else None))
        line.highlight_words([result.verdict], _COLOURS.get(result.verdict, "yellow"))
        console.print(line, soft_wrap=True)

    report = verify(load("torch"), device=device, progress=show)
    console.print(report.counts)
    history.remember(report)
    return report.ok


def verified_before(device: str, console: Console) -> bool:
    """Whether every claim holds. They are checked now unless there is a verdict on this torch."""
    framework = load("torch").capabilities().framework
    said = history.last("torch", device, framework)
    if any(word in said for word in ("never", "verify again", "fail")):
        console.print("Checking every claim for the torch backend: about ten seconds.")
        return verified(device, console)
    console.print(f"torch on {device}: verified {said}", markup=False, highlight=False)
    return True
