"""Which mistakes of the kit's catalogue each published vector catches.

A published file of vectors never changes, and the catalogue grows: so the mistakes have a file of
their own, beside the vectors. ``python tests/vector_mistakes.py`` writes the file anew.
"""

import json
from pathlib import Path

from gradreg_verify.claims.ledger import BY_ID
from gradreg_verify.mistakes.catalogue import WRONG
from gradreg_verify.vectors import PUBLISHED, frozen, published
from gradreg_verify.vectors.comparing import NUMBERS, by_mistake, differs

ABOUT = (
    "value and gradient: the mistakes that change the vector's value, and its gradient; "
    "why: what the claim says that the mistake breaks. See docs/vectors.md"
)


def shown_by(case, wrong):
    """Which of a case's numbers a mistake changes: the value, the gradient, both or none."""
    made = by_mistake(case, wrong) or ()
    return [
        what for what, number in zip(NUMBERS, made, strict=False) if differs(case, what, number)
    ]


def text(name):
    """The file of mistakes for a published file of vectors, made anew."""
    cases = json.loads(published(name))["cases"]
    shown = [[shown_by(case, wrong) for wrong in WRONG] for case in cases]
    vectors = [
        {"name": case["name"]}
        | {
            what: [w.name for w, changed in zip(WRONG, row, strict=True) if what in changed]
            for what in NUMBERS
        }
        for case, row in zip(cases, shown, strict=True)
    ]
    mistakes = [
        {"penalty": w.penalty, "name": w.name, "claim": w.claim, "why": BY_ID[w.claim].sentence}
        for w, changes in zip(WRONG, zip(*shown, strict=True), strict=True)
        if any(changes)
    ]
    head = {"format": 1, "about": ABOUT, "of": name}
    lists = [one_a_line("mistakes", mistakes), one_a_line("vectors", vectors)]
    opening = "".join(f"{in_json(key)}: {in_json(value)},\n" for key, value in head.items())
    return "{\n" + opening + ",\n".join(lists) + "\n}\n"


def one_a_line(key, entries):
    """A list in JSON, an entry a line, so that a change of an entry is a change of a line."""
    return f"{in_json(key)}: [\n" + ",\n".join(map(in_json, entries)) + "\n]"


def in_json(data):
    """JSON in a line, with the signs of the formulas as they are."""
    return json.dumps(data, ensure_ascii=False)


if __name__ == "__main__":
    for name in PUBLISHED:
        path = Path(frozen.__file__).with_name(frozen.mistakes_of(name))
        path.write_text(text(name), encoding="utf-8")
