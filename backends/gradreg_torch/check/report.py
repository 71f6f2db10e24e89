"""What `check_model` found: an object for tests, which prints as a table."""

from dataclasses import dataclass
from textwrap import wrap


@dataclass(frozen=True)
class Finding:
    """One thing that was checked.

    Parameters
    ----------
    name : str
        "penalty", "repeatable", "buffers" (where a pass writes some), "jacobian", "gradient",
        "parameters", "examples", "cost", or "unchanged".
    right : bool or None
        None where it could not be decided, or where there is no right or wrong.
    text : str
        What was seen, with its numbers.
    remedy : str
        What to do, in one line; "" where nothing is to be done.
    """

    name: str
    right: bool | None
    text: str
    remedy: str = ""


@dataclass(frozen=True)
class ModelReport:
    """All findings of a check: ``report.ok`` for tests, ``print(report)`` for a table."""

    subject: str
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Return whether nothing is wrong; a question that could not be decided is not wrong."""
        return all(f.right is not False for f in self.findings)

    def __getitem__(self, name: str) -> Finding:
        """The finding of this name."""
        for finding in self.findings:
            if finding.name == name:
                return finding
        known = ", ".join(f.name for f in self.findings)
        raise KeyError(f"expected one of {known}, got {name!r}")

    def __str__(self) -> str:
        lines = [self.subject]
        for f in self.findings:
            mark = {True: "ok", False: "WRONG", None: "-"}[f.right]
            text = wrap(f.text, 60) or [""]
            lines.append(f"  {mark:<6}{f.name:<12}{text[0]}")
            lines += [" " * 20 + more for more in text[1:]]
            lines += [" " * 18 + "> " + more for more in wrap(f.remedy, 60)]
        return "\n".join(lines)
