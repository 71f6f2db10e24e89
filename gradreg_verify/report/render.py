"""A report as JSON, Markdown, HTML or BibTeX: the same facts, without times.

Two runs with the same seed and versions give the same bytes, which `digest` identifies.
"""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict
from html import escape
from pathlib import Path
from typing import Any

from gradreg_verify.claims.draws import ALPHA
from gradreg_verify.files import read_json, require_ours, require_writable, write_atomically
from gradreg_verify.report.html import in_words, to_html
from gradreg_verify.report.report import Report, counted
from gradreg_verify.text import printable

_ESCAPED = "backslashreplace"  # of half a surrogate pair


def facts(report: Report) -> dict[str, Any]:
    """The report as plain data, and its digest."""
    diagnosis = report.diagnosis
    shown = diagnosis.counterexample if diagnosis else None
    found = {
        "target": report.target,
        "declared": report.declared,
        "tier": report.tier,
        "device": report.device,
        "dtypes": ["float64", *report.dtypes],
        "seed": report.seed,
        "alpha": ALPHA,
        "samplers": asdict(report.evidence) if report.evidence else None,
        "self_test": report.self_test,
        "command": report.command,
        "provenance": dict(report.provenance),
        "ok": report.ok,
        "claims": [
            {
                "id": r.claim.id,
                "alias": r.claim.alias,
                "sentence": r.claim.sentence,
                "formula": r.claim.formula,
                "derivation": f"docs/{r.claim.page}.md",
                "verdict": r.verdict,
                "figure": r.figure,
                "not_checked": list(r.left_out),
            }
            for r in report.results
        ],
        "diagnosis": diagnosis
        and {
            "claim": diagnosis.claim,
            "computes": diagnosis.computes,
            "message": shown.message if shown else "",
            "code": shown.code if shown else "",
        },
    }
    return found | {"digest": _digest_of(found)}


def _digest_of(found: Mapping[str, Any]) -> str:
    """SHA-256 of facts without their digest."""
    text = json.dumps(found, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode(errors=_ESCAPED)).hexdigest()


def to_json(report: Report) -> str:
    """Return all facts of a report as JSON."""
    text = json.dumps(facts(report), indent=1, ensure_ascii=False)
    return re.sub("[^\\x00-\\x7f]", lambda found: _seen(found.group()), text)


def _seen(sign: str) -> str:
    """A character of a string in JSON; an invisible character is written by its number."""
    return json.dumps(sign)[1:-1] if printable(sign) != sign else sign


def to_markdown(report: Report) -> str:
    """A page for a repository or an appendix."""
    f = facts(report)
    rows = [
        f"| {c['id']} | {_cell(c['sentence'])} | {c['verdict']} | "
        + _cell("; ".join([c["figure"], *(f"not checked: {n}" for n in c["not_checked"])]))
        + " |"
        for c in f["claims"]
    ]
    lines = [
        f"# {_cell(f['target'])}",
        "",
        f"**{in_words(f['claims'])[1]}**",
        "",
        f"Declared: {_cell(f['declared'])}. {report.counts}.",
        "",
        "| claim | | verdict | figure |",
        "|---|---|---|---|",
        *rows,
        "",
        *(f"- {_cell(name)}: {_cell(value)}" for name, value in _about(report)),
    ]
    if f["diagnosis"]:
        d = f["diagnosis"]
        fence = "`" * max(3, 1 + max(map(len, re.findall("`*", d["code"]))))
        lines += ["", f"{d['claim']} fails. {_cell(d['computes'])}", "", _cell(d["message"]), ""]
        lines += [f"{fence}python", printable(d["code"]), fence]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    """Text in one line or cell of Markdown, where HTML is live."""
    return " ".join(escape(printable(text), quote=False).replace("|", r"\|").split())


def _about(report: Report) -> list[tuple[str, str]]:
    """Say what was checked, and with what."""
    tested = "none" if report.evidence is None else str(report.evidence)
    return [
        ("tier", report.tier),
        ("device", report.device),
        ("formulas checked in", "float64"),
        ("rounding checked in", ", ".join(report.dtypes)),
        ("seed", str(report.seed)),
        ("chance of a false alarm of a sampler", f"at most {ALPHA:g} for each length of a probe"),
        ("samplers", tested),
        ("self-test of the kit", report.self_test),
        *([("repeated by", report.command)] if report.command else []),
        *report.provenance.items(),
        ("digest", facts(report)["digest"]),
    ]


def bibtex(f: Mapping[str, Any]) -> str:
    """An entry that cites a report of these facts by its digest."""
    d, counts = f["digest"], counted([claim["verdict"] for claim in f["claims"]])
    return (
        f"@misc{{gradreg-{d[:12]},\n"
        f"  title = {{Verification of {{{_plain(f['target'])}}}: {counts}}},\n"
        f"  howpublished = {{{f['provenance'].get('kit', 'gradreg-ref')}, gradreg verify}},\n"
        f"  note = {{{_plain(f['tier'])}; {f['device']}; SHA-256 {d}}}\n"
        "}\n"
    )


def read(path: Path) -> dict[str, Any]:
    """The facts of a report in JSON.

    Raises
    ------
    ValueError
        It is no such report, or its digest is not that of its facts.
    """

    def checked(found: Any) -> dict[str, Any]:
        bibtex(found)  # whether all is there that it needs
        rest = {name: fact for name, fact in found.items() if name != "digest"}
        if found["digest"] != _digest_of(rest):
            raise ValueError("facts of another digest, so it was changed after it was written")
        return dict(found)

    remedy = "write one with --report report.json"
    return read_json(path, "a report of gradreg verify in JSON", checked, remedy=remedy)


def _plain(text: str) -> str:
    """Remove what has a meaning in BibTeX."""
    text = printable(text).replace("\\", "/").replace("{", "(").replace("}", ")")
    return re.sub(r"([_%&#$])", r"\\\1", text).replace("^", "-").replace("~", "-")


FORMATS: dict[str, Callable[[Report], str]] = {
    ".json": lambda report: to_json(report) + "\n",
    ".md": to_markdown,
    ".html": lambda report: to_html(facts(report), report.counts, _about(report)),
    ".bib": lambda report: bibtex(facts(report)),
}


def write(report: Report, path: Path) -> None:
    """The report in the format of the file's ending; all of it or nothing.

    Raises
    ------
    ValueError, OSError
        As by `require_format`.
    """
    require_format(path)
    write_atomically(path, FORMATS[path.suffix](report).encode())


def require_format(path: Path) -> None:
    """Before anything is run, require a known ending, and a place that can be written to.

    Raises
    ------
    ValueError
        Another ending, no such folder, or a file that is no earlier report.
    OSError
        The system refuses a file there.
    """
    if path.suffix not in FORMATS:
        raise ValueError(f"expected --report to end in {', '.join(FORMATS)}; got {path}")
    if not path.parent.is_dir():
        raise ValueError(f"expected the folder {path.parent} of --report to exist")
    require_ours(path, "a report", _is_ours, "give another name, or move the file away")
    require_writable(path, "the report")


def _is_ours(text: str) -> bool:
    """Every format has the name of the kit and a digest."""
    return "gradreg" in text and re.search(r"\b[0-9a-f]{64}\b", text) is not None
