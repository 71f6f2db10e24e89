"""The verdicts on the page of claims are those of the reports in docs/verdicts."""

import json
import re
from pathlib import Path

from gradreg_verify import BY_ID

DOCS = Path(__file__).parents[1] / "docs"
PAGE = DOCS / "claims.md"
BETWEEN = re.compile(r"(?<=<!-- verdicts -->\n\n).*?(?=\n\n<!-- end -->)", re.DOTALL)
WORDS = {"PASS": "holds", "FAIL": "fails", "NOT-TESTED": "not tested"}


def reports():
    """What `gradreg verify NAME --report docs/verdicts/NAME.json` has left, by backend."""
    paths = sorted((DOCS / "verdicts").glob("*.json"))
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in paths}


def cell(claim):
    """The verdict, and the largest relative error where errors are what is measured."""
    word = WORDS[claim["verdict"]]
    error = re.match(r"off by ([\d.]+e[+-]\d+)", claim["figure"])
    return f"{word}, `{error[1]}`" if error and word == "holds" else word


def table(found):
    """A line for each claim, a column for each backend, and how the reports were made."""
    head = ["claim", *(f"`{name}`" for name in found)]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    by_id = [{claim["id"]: claim for claim in report["claims"]} for report in found.values()]
    for claim in BY_ID:
        cells = [cell(claims[claim]) for claims in by_id]
        lines.append(f"| [{claim}](#{claim}) | {' | '.join(cells)} |")
    made = [
        f"- `gradreg verify {name} --report docs/verdicts/{name}.json`: {versions(report)}."
        for name, report in found.items()
    ]
    return "\n".join([*lines, "", *made])


def versions(report):
    """Of what was verified, and where."""
    made = report["provenance"]
    return f"{made['framework']} on {report['device']}, {made['kit']}, Python {made['python']}"


def test_the_page_has_the_verdicts():
    """To write it anew: ``python tests/test_verdicts.py``."""
    assert BETWEEN.findall(PAGE.read_text(encoding="utf-8")) == [table(reports())]


def test_nothing_that_failed_is_published():
    for name, report in reports().items():
        assert report["ok"], name


def test_what_was_not_tested_has_a_reason():
    for name, report in reports().items():
        untested = [c for c in report["claims"] if c["verdict"] == "NOT-TESTED"]
        assert all(c["figure"] for c in untested), name


if __name__ == "__main__":
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(BETWEEN.sub(lambda _: table(reports()), text), encoding="utf-8")
