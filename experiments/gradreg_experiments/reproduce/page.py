"""All experiments of a folder in Markdown, and as one HTML page that fetches nothing."""

from collections.abc import Mapping
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

from gradreg_experiments.files import ESCAPED
from gradreg_verify.files import read, read_json, write_atomically

STYLE = """
:root { color-scheme: light dark; font: 15px/1.45 system-ui, sans-serif; }
body { max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .15rem .6rem; text-align: right; white-space: nowrap; }
td:nth-child(-n+2), th:nth-child(-n+2) { text-align: left; }
tr.first td { border-top: 1px solid #8884; }
div, figure { overflow-x: auto; }
figure { margin: 1rem 0; background: #fff; }
figure svg { max-width: 100%; height: auto; }
code { overflow-wrap: anywhere; }
"""
NEEDED = {"title", "departures", "command", "source", "rows"}
REMEDY = "delete the file, and give the command of the file again"
MOST_SVG = 32 << 20  # bytes
Record = Mapping[str, Any]


def write_page(folder: Path) -> Path:
    """Write ``index.html`` and ``tables.md`` from the JSON and SVG files of the folder."""
    found = list[tuple[Path, Record]]()
    for path in sorted(folder.glob("*.json")):
        record = read_json(path, "a result", partial(shown, path), remedy=REMEDY, finite=False)
        if record is not None:
            found.append((path, record))
    write_atomically(folder / "tables.md", markdown(found).encode(errors=ESCAPED))
    body = "\n".join(html_section(record, path.with_suffix(".svg")) for path, record in found)
    page = (
        "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<title>The paper's tables again</title><style>{STYLE}</style></head><body>"
        f"<h1>The paper's tables again</h1>\n{body}\n</body></html>\n"
    )
    write_atomically(folder / "index.html", page.encode(errors=ESCAPED))
    return folder / "index.html"


def shown(path: Path, data: Any) -> Record | None:
    """What the file of an experiment holds; None for another file.

    Raises
    ------
    ValueError
        The record cannot be shown.
    """
    if not isinstance(data, dict) or not {"experiment", "table"} <= data.keys():
        return None
    if missing := sorted(NEEDED - data.keys()):
        raise ValueError(f"a result without {', '.join(missing)}")
    html_section(data, path.with_suffix(".svg")), markdown([(path, data)])
    return data


def markdown(found: list[tuple[Path, Record]]) -> str:
    """A section for each record, in the order given."""
    parts = []
    for path, record in found:
        image = path.with_suffix(".png")
        said = section(record, image.name if image.exists() else None)
        parts.append(f"## {record['title']}\n\n{said}")
    return "\n\n".join(parts) + "\n"


def section(record: Record, image: str | None) -> str:
    """Table, figure if there is one, departures, provenance: in Markdown."""
    head, *lines = [record["table"]["head"], *without_repeats(record["table"]["rows"])]
    rule = ["---" if i < 2 else "---:" for i in range(len(head))]
    parts = [
        "\n".join(f"| {' | '.join(cells)} |" for cells in (head, rule, *lines)),
        *([f"![{record['title']}]({image})"] if image else []),
        "\n".join(f"- {sentence}" for sentence in record["departures"]),
        f"`{record['command']}`: {provenance(record)}.",
    ]
    return "\n\n".join(parts)


def html_section(record: Record, svg: Path) -> str:
    """The same in HTML."""
    rows = ""
    for cells in without_repeats(record["table"]["rows"]):
        inner = "".join(f"<td>{escape(text)}</td>" for text in cells)
        rows += f"<tr{' class=first' if cells[0] else ''}>{inner}</tr>\n"
    head = "".join(f"<th>{escape(name)}</th>" for name in record["table"]["head"])
    drawn = read(svg, MOST_SVG, "a figure in SVG", str, REMEDY) if svg.exists() else ""
    figure = f"<figure>{drawn[drawn.find('<svg') :]}</figure>" if "<svg" in drawn else ""
    notes = "".join(f"<li>{escape(sentence)}</li>" for sentence in record["departures"])
    return (
        f"<h2>{escape(record['title'])}</h2>\n<div><table><thead><tr>{head}</tr>"
        f"</thead><tbody>{rows}</tbody></table></div>\n{figure}\n<ul>{notes}</ul>\n"
        f"<p><code>{escape(record['command'])}</code><br>{escape(provenance(record))}; "
        f"poster: {escape(record['source'])}.</p>"
    )


def provenance(record: Record) -> str:
    """What made the runs; for a record that does not say, what made the record."""
    made = [
        f"{part['runs']} runs, {versions(part)}, claims: {part['verified']}"
        for part in record.get("runs", ())
    ]
    return "; ".join(made) or versions(record)


def versions(record: Record) -> str:
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
