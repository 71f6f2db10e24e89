"""A report as one HTML file: no script, no network, fit to print."""

import re
from html import escape
from typing import Any

STYLE = """
:root { color-scheme: light dark; --line: #8884; --pass: #1a7f37; --fail: #c62828; --soft: #777 }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.5rem; margin-bottom: 0 } h2 { font-size: 1.1rem; margin-top: 2rem }
p.declared { color: var(--soft); margin-top: .2rem }
p.counts { font-size: 1.15rem; font-weight: 600 }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; vertical-align: top; padding: .35rem .6rem .35rem 0;
         border-bottom: 1px solid var(--line) }
td i { font: 1.05em "Cambria Math", "STIX Two Math", Georgia, serif; display: block }
td:nth-child(2) { width: 45% } sub { font-size: .7em }
td small { color: var(--soft); display: block; overflow-wrap: anywhere }
.PASS { color: var(--pass); font-weight: 600 } .FAIL { color: var(--fail); font-weight: 700 }
.WAIVED, .NOT-TESTED { font-weight: 600 } .NOT-APPLICABLE { color: var(--soft) }
td.verdict { white-space: nowrap }
pre { background: #8881; padding: .8rem; overflow-x: auto; font-size: .85rem }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; font-size: .9rem }
dt { color: var(--soft) } dd { margin: 0; overflow-wrap: anywhere }
@media (max-width: 40rem) {
  table, tr, td { display: block; border: 0; padding: 0 } th { display: none } dl { display: block }
  tr { padding: .6rem 0; border-bottom: 1px solid var(--line) } td:nth-child(2) { width: auto }
}
@media print { body { font-size: 10pt; margin: 0; max-width: none } tr, pre { break-inside: avoid }
  :root { color-scheme: light } }
"""


def to_html(facts: dict[str, Any], counts: str, about: list[tuple[str, str]]) -> str:
    """The page, from the facts of `render`."""
    asked = [c for c in facts["claims"] if c["verdict"] != "NOT-APPLICABLE"]
    others = [c["id"] for c in facts["claims"] if c["verdict"] == "NOT-APPLICABLE"]
    about_others = f"<p>About other penalties: {', '.join(others)}.</p>" if others else ""
    return (
        "<!doctype html>\n<html lang='en'>\n<meta charset='utf-8'>\n"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>\n"
        f"<title>{escape(facts['target'])}: {escape(counts)}</title>\n<style>{STYLE}</style>\n"
        f"<h1>{escape(facts['target'])}</h1>\n"
        f"<p class='declared'>declared: {escape(facts['declared'])}</p>\n"
        f"<p class='counts'>{escape(counts)}</p>\n"
        + diagnosis(facts["diagnosis"])
        + "<h2>Claims</h2>\n<table>\n<tr><th>claim<th><th>verdict<th>figure</tr>\n"
        + "".join(map(row, asked))
        + f"</table>\n{about_others}\n<h2>How far this reaches</h2>\n<dl>\n"
        + "".join(f"<dt>{escape(k)}<dd>{escape(v)}\n" for k, v in about)
        + "</dl>\n</html>\n"
    )


def row(claim: dict[str, Any]) -> str:
    """A claim, its formula and derivation, its verdict and figure."""
    notes = "".join(f"<small>not checked: {escape(n)}</small>" for n in claim["not_checked"])
    return (
        f"<tr><td>{claim['id']}<td>{signs(claim['sentence'])}<i>{signs(claim['formula'])}</i>"
        f"<small>derived in {escape(claim['derivation'])}</small>"
        f"<td class='verdict {claim['verdict']}'>{claim['verdict']}"
        f"<td>{escape(claim['figure'])}{notes}</tr>\n"
    )


def signs(text: str) -> str:
    """Text with its subscripts: r_j."""
    return re.sub(r"_(\w+)", lambda m: f"<sub>{m.group(1)}</sub>", escape(text))


def diagnosis(found: dict[str, Any] | None) -> str:
    """What is computed instead, and the network that shows it."""
    if not found:
        return ""
    return (
        f"<h2>What is wrong</h2>\n<p><b>{found['claim']} fails.</b> "
        f"{escape(found['computes'])}</p>\n"
        f"<p>{escape(found['message'])}</p>\n<pre>{escape(found['code'])}</pre>\n"
    )
