"""A folder of vectors compared with the reference, and results with the vectors.

A case without a result, a result without a case, a name that occurs twice and a key that
is not known are errors. The numbers that were compared are counted.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from gradreg_verify.files import WRONG, in_words, read_json
from gradreg_verify.vectors.cases import compute, decode
from gradreg_verify.vectors.comparing import NUMBERS, differs, known_mistake
from gradreg_verify.vectors.frozen import PUBLISHED, published

_BESIDE = (".results.json", ".mistakes.json", ".schema.json")  # files that hold no vectors
NEEDED = {"name", "penalty", "options", "layers", "x", "y", "exact", *NUMBERS}
_Entries = dict[str, dict[str, Any]]


@dataclass
class Checked:
    """What came of a folder.

    Parameters
    ----------
    wrong : list of str
        A sentence for everything that is wrong.
    cases, exact : int
        Vectors recomputed, and how many of them must be equal; the others may differ by `LIMIT`.
    recomputed : int
        Their numbers, compared with the reference's.
    results : int
        Files of results.
    values, gradients : int
        Their values, and the numbers of their gradients, compared with the vectors'.
    not_compared : list of str
        A sentence for everything that a file of results leaves out, as it may.
    """

    wrong: list[str] = field(default_factory=list)
    cases: int = 0
    exact: int = 0
    recomputed: int = 0
    results: int = 0
    values: int = 0
    gradients: int = 0
    not_compared: list[str] = field(default_factory=list)


def check(folder: Path) -> Checked:
    """Compare a folder's vectors with the reference, and results in the folder with the vectors.

    Parameters
    ----------
    folder : Path
        With files of vectors, as `export` writes them, and any number of ``NAME.results.json``:
        results of another implementation, by the name of the case.

    Raises
    ------
    ValueError
        A file that is not of this format, or no vectors at all.
    """
    paths = sorted(p for p in folder.glob("*.json") if not p.name.endswith(_BESIDE))
    if not paths:
        raise ValueError(
            f"expected vectors (*.json) in {folder}; gradreg vectors export writes them"
        )
    found, cases = Checked(), _Entries()
    for path in paths:
        new = read_json(path, "vectors", partial(_recomputed, found))
        if path.name in PUBLISHED and path.read_text(encoding="utf-8") != published(path.name):
            found.wrong.append(f"{path.name} is not the file that was published")
        found.wrong += [
            f"{path.name}: case {n!r} is in another file too" for n in new if n in cases
        ]
        cases |= new
    for path in sorted(folder.glob("*.results.json")):
        found.results += 1
        wrong, left_out = read_json(path, "results", partial(_held_against, cases, found))
        found.wrong += [f"{path.name}: {sentence}" for sentence in wrong]
        found.not_compared += [f"{path.name}: {sentence}" for sentence in left_out]
    return found


def _recomputed(found: Checked, data: Any) -> _Entries:
    """The cases of a file, by name; a difference from the reference is noted."""
    _require_keys("a file of vectors", data, {"cases"}, {"format", "about"})
    if data.get("format", 1) != 1:
        raise ValueError(f"format {data['format']!r}, where this version reads format 1")
    cases = _by_name("cases", data)
    for name, case in cases.items():
        with _named(name):
            _require_keys("a case", case, NEEDED, {"probes"})
            for what, numbers in zip(NUMBERS, compute(case), strict=True):
                found.wrong += differs(case, what, numbers)
                found.recomputed += numbers.size
    found.cases += len(cases)
    found.exact += sum(case["exact"] for case in cases.values())
    return cases


def _held_against(cases: _Entries, found: Checked, data: Any) -> tuple[list[str], list[str]]:
    """Compare the results of a file with the cases; return differences and what is left out."""
    _require_keys("a file of results", data, {"results"}, {"penalties", "about"})
    results = _by_name("results", data)
    penalties = _asked_for(cases, data)
    asked = {n for n, case in cases.items() if case["penalty"] in penalties}
    wrong = [f"no case {name!r}" for name in results.keys() - asked]
    wrong += [f"no result of the case {name!r}" for name in asked - results.keys()]
    with_gradient = any("gradient" in result for result in results.values())
    needed = {"name", *(NUMBERS if with_gradient else NUMBERS[:1])}
    for name in results.keys() & asked:
        with _named(name):
            _require_keys("a result", results[name], needed, set())
            for what in needed - {"name"}:
                numbers = decode(results[name][what])
                for said in differs(cases[name], what, numbers):
                    wrong.append(said + known_mistake(cases[name], what, numbers))
                found.values += numbers.size if what == "value" else 0
                found.gradients += numbers.size if what == "gradient" else 0
    return sorted(wrong), _left_out(cases, penalties, with_gradient)


def _left_out(cases: _Entries, penalties: set[str], with_gradient: bool) -> list[str]:
    """A sentence for penalties without results, and one for gradients without results."""
    said = []
    if others := {case["penalty"] for case in cases.values()} - penalties:
        said.append(f"no results of {', '.join(sorted(others))}, which the file does not claim")
    if not with_gradient:
        said.append(
            "no gradients, so the check sees no mistake that changes the gradient alone, "
            "such as a penalty without a graph"
        )
    return said


def _asked_for(cases: _Entries, data: dict[str, Any]) -> set[str]:
    """The penalties for which the file has results: all, unless the file names some."""
    known = {case["penalty"] for case in cases.values()}
    named = set(data.get("penalties", known))
    if unknown := named - known:
        raise ValueError(f"penalties {sorted(unknown)}, where the vectors have {sorted(known)}")
    return named


def _by_name(key: str, data: dict[str, Any]) -> _Entries:
    """The entries of a file; one at least, and each name once."""
    names = [entry["name"] for entry in data[key]]
    if not names:
        raise ValueError(f"no entry in {key!r}")
    for name in names:
        if not isinstance(name, str):
            raise ValueError(f"the name {name!r}, which is no string")
        if names.count(name) > 1:
            raise ValueError(f"the name {name!r} twice")
    return dict(zip(names, data[key], strict=True))


def _require_keys(what: str, data: Any, needed: set[str], allowed: set[str]) -> None:
    """Refuse a missing key, and an unknown key, which may be a misspelt one."""
    if not isinstance(data, dict):
        raise ValueError(f"{what} that is no object")
    if missing := needed - data.keys():
        raise ValueError(f"{what} without {', '.join(map(repr, sorted(missing)))}")
    if unknown := data.keys() - needed - allowed:
        known = ", ".join(sorted(needed | allowed))
        raise ValueError(f"{what} with the key {min(unknown)!r}, where it may have {known}")


@contextmanager
def _named(name: str) -> Iterator[None]:
    """Put the name of the case before its error."""
    try:
        yield
    except WRONG as error:
        raise ValueError(f"{name}: {in_words(error)}") from error
