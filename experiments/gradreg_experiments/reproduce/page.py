"""One HTML page of all experiments in a folder: tables, figures, settings; nothing is fetched."""

import json
from collections.abc import Mapping
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

from gradreg_experiments.files import ESCAPED
from gradreg_experiments.reproduce.markdown import markdown, provenance, without_repeats
from gradreg_verify.files import read, read_json, write_atomically

STYLE = """
:root { color-scheme: light dark; font: 15px/1.45 system-ui, sans-serif; }
body { max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
div.wide { overflow-x: auto; }
th, td { padding: .15rem .6rem; text-align: right; white-space: nowrap; }
th { border-bottom: 1px solid #888; font-weight: 600; }
td:nth-child(-n+2), th:nth-child(-n+2) { text-align: left; }
tr.first td { border-top: 1px solid #8884; }
figure { margin: 1rem 0; background: #fff; padding: .5rem; overflow-x: auto; }
figure svg { max-width: 100%; height: auto; }
small, li, p.note { color: color-mix(in srgb, currentColor 75%, transparent); }
code { font-size: .9em; overflow-wrap: anywhere; }
"""


NEEDED = {"title", "departures", "command", "source", "rows"}
REMEDY = "delete the file, and give the command of the file again"
MOST_SVG = 32 << 20  # bytes


def write_page(folder: Path) -> Path:
    """Write ``index.html`` and ``tables.md`` from the JSON and SVG files of the folder."""
    found = records(folder)
    write_atomically(folder / "tables.md", markdown(found).encode(errors=ESCAPED))
    body = "\n".join(section(record, path.with_suffix(".svg")) for path, record in found)
    page = (
        "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<title>The paper's tables again</title><style>{STYLE}</style></head><body>"
        f"<h1>The paper's tables again</h1>\n{body}\n</body></html>\n"
    )
    write_atomically(folder / "index.html", page.encode(errors=ESCAPED))
    return folder / "index.html"


def records(folder: Path) -> list[tuple[Path, Mapping[str, Any]]]:
    """The records that experiments have left in a folder."""
    found = list[tuple[Path, Mapping[str, Any]]]()
    for path in sorted(folder.glob("*.json")):
        record = read_json(path, "a result", partial(shown, path), remedy=REMEDY, finite=False)
        if record is not None:
            found.append((path, record))
    return found


def shown(path: Path, data: Any) -> Mapping[str, Any] | None:
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
    section(data, path.with_suffix(".svg")), markdown([(path, data)])
    return data


def section(record: Mapping[str, Any], svg: Path) -> str:
    """The section of an experiment."""
    drawn = read(svg, MOST_SVG, "a figure in SVG", str, REMEDY) if svg.exists() else ""
    figure = f"<figure>{drawn[drawn.find('<svg') :]}</figure>" if "<svg" in drawn else ""
    notes = "".join(f"<li>{escape(sentence)}</li>" for sentence in record["departures"])
    return (
        f"<h2>{escape(record['title'])}</h2>\n{html_table(record['table'])}"
        f"\n{figure}\n<ul>{notes}</ul>\n<p class='note'><code>{escape(record['command'])}</code>"
        f"<br>{escape(provenance(record))}; "
        f"poster: {escape(record['source'])}.</p>"
        f"\n<details><summary>Settings</summary>{settings(record['rows'])}</details>"
    )


def html_table(table: Mapping[str, Any]) -> str:
    """The table as in the terminal."""
    lines = []
    for cells in without_repeats(table["rows"]):
        first = " class='first'" if cells[0] else ""
        lines.append(f"<tr{first}>{''.join(f'<td>{escape(text)}</td>' for text in cells)}</tr>")
    head = "".join(f"<th>{escape(name)}</th>" for name in table["head"])
    return (
        f"<div class='wide'><table><thead><tr>{head}</tr></thead>"
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


def settings(rows: list[dict[str, Any]]) -> str:
    """The settings that differ from the defaults, for each arm."""
    items = (
        f"<li>{escape(row['row'])}, {escape(row['arm'])}: "
        f"<code>{escape(json.dumps(row['setting'], ensure_ascii=False))}</code></li>"
        for row in rows
        if "setting" in row
    )
    return f"<ul>{''.join(items)}</ul>"
