"""A report as one HTML file: no script, no network, fit to print."""

import re
from html import escape as escaped
from importlib.resources import files
from math import floor, log10
from typing import Any

from gradreg_verify.text import printable

_STYLE = "\n" + (files("gradreg_verify.report") / "report.css").read_text(encoding="utf-8")


def _escape(text: str) -> str:
    """Text of other people, without tags and without hidden characters."""
    return escaped(printable(text))


def to_html(facts: dict[str, Any], counts: str, about: list[tuple[str, str]]) -> str:
    """The page, from the facts of `render`."""
    colour, verdict = in_words(facts["claims"])
    asked = [c for c in facts["claims"] if c["verdict"] != "NOT-APPLICABLE"]
    others = [c["id"] for c in facts["claims"] if c["verdict"] == "NOT-APPLICABLE"]
    about_others = f"<p>About other penalties: {', '.join(others)}.</p>" if others else ""
    return (
        "<!doctype html>\n<html lang='en'>\n<meta charset='utf-8'>\n"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>\n"
        f"<title>{_escape(facts['target'])}: {_escape(counts)}</title>\n<style>{_STYLE}</style>\n"
        f"<h1>{_escape(facts['target'])}</h1>\n"
        f"<p class='declared'>declared: {_escape(facts['declared'])}</p>\n"
        f"<p class='verdict {colour}'>{_escape(verdict)}</p>\n<p>{_escape(counts)}</p>\n"
        + _diagnosis(facts["diagnosis"])
        + "<h2>Claims</h2>\n<table>\n<tr><th>claim<th><th>verdict<th>figure</tr>\n"
        + "".join(map(_row, asked))
        + f"</table>\n{about_others}\n<h2>How far this reaches</h2>\n<dl>\n"
        + "".join(f"<dt>{_escape(k)}<dd>{_escape(v)}\n" for k, v in about)
        + "</dl>\n</html>\n"
    )


def in_words(claims: list[dict[str, Any]]) -> tuple[str, str]:
    """Summarise the verdicts: a colour and a sentence."""
    ids: dict[str, list[str]] = {}
    for claim in claims:
        ids.setdefault(claim["verdict"], []).append(claim["id"])
    waived = f" Failures accepted: {', '.join(ids['WAIVED'])}." if "WAIVED" in ids else ""
    if "FAIL" in ids:
        return "FAIL", f"It is not what it is declared to be. Failed: {', '.join(ids['FAIL'])}."
    if "PASS" not in ids:
        return "FAIL", "Nothing of it could be tested." + waived
    if "NOT-TESTED" in ids:
        missed = ", ".join(ids["NOT-TESTED"])
        return "WAIVED", f"What could be tested holds. Not tested: {missed}." + waived
    return "PASS", "Every claim about it holds." if not waived else "The rest holds." + waived


def digits(figure: str) -> str:
    """An error of a figure, in words; "" where the figure is of another kind."""
    if figure.startswith("as expected on "):
        return "agrees exactly"
    found = re.match(r"off by (\d\.\de[+-]\d+) \(1e-09 allowed\) on ", figure)
    if not found:
        return ""
    error = float(found.group(1))
    return f"agrees to {min(floor(-log10(error)), 15)} digits" if error <= 0.1 else ""


def _row(claim: dict[str, Any]) -> str:
    """A claim, its formula and derivation, its verdict and figure."""
    notes = "".join(f"<small>not checked: {_escape(n)}</small>" for n in claim["not_checked"])
    figure = _escape(claim["figure"])
    if claim["formula"] and (said := digits(claim["figure"])):
        figure = f"{said}<small>{figure}</small>"
    return (
        f"<tr><td>{claim['id']}<td>{signs(claim['sentence'])}<i>{signs(claim['formula'])}</i>"
        f"<small>derived in {_escape(claim['derivation'])}</small>"
        f"<td class='verdict {claim['verdict']}'>{claim['verdict']}"
        f"<td>{figure}{notes}</tr>\n"
    )


def signs(text: str) -> str:
    """Text with its subscripts: r_j."""
    return re.sub(r"_([^\Wᵀ]+)", lambda m: f"<sub>{m.group(1)}</sub>", _escape(text))


def _diagnosis(found: dict[str, Any] | None) -> str:
    """Write what is computed instead, and the network that shows it."""
    if not found:
        return ""
    return (
        f"<h2>What is wrong</h2>\n<p><b>{found['claim']} fails.</b> "
        f"{_escape(found['computes'])}</p>\n"
        f"<p>{_escape(found['message'])}</p>\n<pre>{_escape(found['code'])}</pre>\n"
    )
