"""All experiments of a folder in Markdown, and as one HTML page that fetches nothing."""

import os
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from gradreg_experiments.files import ESCAPED
from gradreg_verify.files import opened, read, read_json, write_atomically

_STYLE = "\n" + (files("gradreg_experiments.reproduce") / "page.css").read_text(encoding="utf-8")
_NEEDED = {"title", "departures", "command", "source", "rows"}
_REMEDY = "delete the file, and give the command of the file again"
_MOST_SVG = 32 << 20  # bytes
_PAGE, _TABLES = "index.html", "tables.md"
_TITLE = "The paper's tables again"
_Record = Mapping[str, Any]


def require_place(folder: Path) -> None:
    """Before the training, require that `write_page` will replace only an earlier page.

    Raises
    ------
    ValueError
        A file that is not of this package has one of the names.
    """
    ours = False
    with suppress(OSError, ValueError), opened(folder / _PAGE) as file:
        ours = f"<title>{_TITLE}" in file.read(500).decode(errors="replace")
    there = [path for n in (_PAGE, _TABLES) if os.path.lexists(path := folder / n)]
    if there and not ours:
        raise ValueError(
            f"expected no file, or an earlier page of gradreg, at {there[0]}; move the file away, "
            "or give another --out"
        )


def write_page(folder: Path) -> Path:
    """Write ``index.html``, and then ``tables.md``, from the JSON and SVG files of the folder."""
    found = [
        read_json(path, "a result", partial(_sections, path), remedy=_REMEDY, finite=False)
        for path in sorted(folder.glob("*.json"))
    ]
    body = "\n".join(html for _, html in filter(None, found))
    page = (
        "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<title>{_TITLE}</title><style>{_STYLE}</style></head><body>"
        f"<h1>{_TITLE}</h1>\n{body}\n</body></html>\n"
    )
    write_atomically(folder / _PAGE, page.encode(errors=ESCAPED))
    text = "\n\n".join(markdown for markdown, _ in filter(None, found)) + "\n"
    write_atomically(folder / _TABLES, text.encode(errors=ESCAPED))
    return folder / _PAGE


def _sections(path: Path, data: Any) -> tuple[str, str] | None:
    """The record of an experiment in Markdown and in HTML; None for another file.

    Raises
    ------
    ValueError
        The record cannot be shown.
    """
    if not isinstance(data, dict) or not {"experiment", "table"} <= data.keys():
        return None
    if missing := sorted(_NEEDED - data.keys()):
        raise ValueError(f"a result without {', '.join(missing)}")
    image = path.with_suffix(".png")
    markdown = section(data, image.name if image.exists() else None)
    html = _html_section(data, path.with_suffix(".svg"))
    return f"## {data['title']}\n\n{markdown}", html


def section(record: _Record, image: str | None) -> str:
    """Table, figure if there is one, departures, provenance: in Markdown."""
    head, *lines = [record["table"]["head"], *_without_repeats(record["table"]["rows"])]
    rule = ["---" if i < 2 else "---:" for i in range(len(head))]
    parts = [
        "\n".join(f"| {' | '.join(cells)} |" for cells in (head, rule, *lines)),
        *([f"![{record['title']}]({image})"] if image else []),
        "\n".join(f"- {sentence}" for sentence in record["departures"]),
        f"`{record['command']}`: {_provenance(record)}.",
    ]
    return "\n\n".join(filter(None, parts))


def _html_section(record: _Record, svg: Path) -> str:
    """A section of the page in HTML."""
    rows = ""
    for cells in _without_repeats(record["table"]["rows"]):
        inner = "".join(f"<td>{escape(text)}</td>" for text in cells)
        rows += f"<tr{' class=first' if cells[0] else ''}>{inner}</tr>\n"
    head = "".join(f"<th>{escape(name)}</th>" for name in record["table"]["head"])
    drawn = read(svg, _MOST_SVG, "a figure in SVG", str, _REMEDY) if svg.exists() else ""
    figure = f"<figure>{drawn[drawn.find('<svg') :]}</figure>" if "<svg" in drawn else ""
    notes = "".join(f"<li>{escape(sentence)}</li>" for sentence in record["departures"])
    return (
        f"<h2>{escape(record['title'])}</h2>\n<div><table><thead><tr>{head}</tr>"
        f"</thead><tbody>{rows}</tbody></table></div>\n{figure}\n<ul>{notes}</ul>\n"
        f"<p><code>{escape(record['command'])}</code><br>{escape(_provenance(record))}; "
        f"poster: {escape(record['source'])}.</p>"
    )


def _provenance(record: _Record) -> str:
    """Versions and machine of the runs or, for a record without runs, of the record."""
    made = [
        f"{part['runs']} runs, {_versions(part)}, claims: {part['verified']}"
        for part in record.get("runs", ())
    ]
    return "; ".join(made) or _versions(record)


def _versions(record: _Record) -> str:
    """Versions of the packages, and the machine."""
    numbers = ", ".join(f"{name} {number}" for name, number in record["versions"].items())
    return f"{numbers}, {record['machine']}"


def _without_repeats(rows: list[list[str]]) -> list[list[str]]:
    """The rows, with the first column only where it changes."""
    before, out = None, []
    for label, *cells in rows:
        out.append(["" if label == before else label, *cells])
        before = label
    return out
