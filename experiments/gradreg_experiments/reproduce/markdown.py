"""The tables of a folder in Markdown, for a document; figures are linked."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any


def markdown(found: list[tuple[Path, Mapping[str, Any]]]) -> str:
    """A section for each record, in the order given."""
    parts = []
    for path, record in found:
        image = path.with_suffix(".png")
        shown = section(record, image.name if image.exists() else None)
        parts.append(f"## {record['title']}\n\n{shown}")
    return "\n\n".join(parts) + "\n"


def section(record: Mapping[str, Any], image: str | None) -> str:
    """Table, figure if there is one, departures, provenance."""
    head, *lines = [record["table"]["head"], *without_repeats(record["table"]["rows"])]
    rule = ["---" if i < 2 else "---:" for i in range(len(head))]
    rows = [f"| {' | '.join(cells)} |" for cells in (head, rule, *lines)]
    parts = [
        "\n".join(rows),
        *([f"![{record['title']}]({image})"] if image else []),
        "\n".join(f"- {sentence}" for sentence in record["departures"]),
        f"`{record['command']}`: {provenance(record)}.",
    ]
    return "\n\n".join(parts)


def provenance(record: Mapping[str, Any]) -> str:
    """What made the runs; for a record that does not say, what made the record."""
    made = [
        f"{part['runs']} runs, {versions(part)}, claims: {part['verified']}"
        for part in record.get("runs", ())
    ]
    return "; ".join(made) or versions(record)


def versions(record: Mapping[str, Any]) -> str:
    """Versions of the packages, and the machine."""
    numbers = ", ".join(f"{name} {number}" for name, number in record["versions"].items())
    return f"{numbers}, {record['machine']}"


def without_repeats(rows: list[list[str]]) -> list[list[str]]:
    """The rows, with the first column only where it changes."""
    before, out = None, []
    for label, *cells in rows:
        out.append(["" if label == before else label, *cells])
        before = label
    return out
