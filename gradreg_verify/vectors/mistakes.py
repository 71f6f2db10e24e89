"""Which mistakes of the kit's catalogue each published vector catches.

A published file of vectors never changes, and the catalogue grows: so the mistakes have a file of
their own, beside the vectors. ``python -m gradreg_verify.vectors.mistakes`` writes the file anew.
"""

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

from gradreg_verify.claims.ledger import BY_ID
from gradreg_verify.files import read_json, write_atomically
from gradreg_verify.mistakes.catalogue import WRONG
from gradreg_verify.vectors.comparing import NUMBERS, shown_by
from gradreg_verify.vectors.frozen import PUBLISHED, mistakes_of

_FOLDER = Path(str(files("gradreg_verify.vectors")))
_ABOUT = (
    "value and gradient: the mistakes that change the vector's value, and its gradient; "
    "why: what the claim says that the mistake breaks. See docs/vectors.md"
)


def text(name: str) -> str:
    """The file of mistakes for a published file of vectors, made anew."""
    cases: list[dict[str, Any]] = read_json(_FOLDER / name, "vectors")["cases"]
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
    head = {"format": 1, "about": _ABOUT, "of": name}
    lists = [_one_a_line("mistakes", mistakes), _one_a_line("vectors", vectors)]
    opening = "".join(f"{_in_json(key)}: {_in_json(value)},\n" for key, value in head.items())
    return "{\n" + opening + ",\n".join(lists) + "\n}\n"


def _one_a_line(key: str, entries: list[dict[str, Any]]) -> str:
    """A list in JSON, an entry a line, so that a change of an entry is a change of a line."""
    return f"{_in_json(key)}: [\n" + ",\n".join(map(_in_json, entries)) + "\n]"


def _in_json(data: Any) -> str:
    """JSON in a line, with the signs of the formulas as they are."""
    return json.dumps(data, ensure_ascii=False)


def _main() -> None:
    """Write the files of mistakes into the package."""
    for name in PUBLISHED:
        write_atomically(_FOLDER / mistakes_of(name), text(name).encode())


if __name__ == "__main__":
    _main()
