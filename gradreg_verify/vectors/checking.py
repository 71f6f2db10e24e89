"""A folder of vectors held against the reference, and results against the vectors.

Nothing passes unseen: a case without a result, a result without a case, a name twice and a key that
is not known are all wrong, and the numbers compared are counted.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from gradreg_ref.typing import Array
from gradreg_verify.files import WRONG, in_words, read_json
from gradreg_verify.mistakes import catalogue
from gradreg_verify.vectors.cases import compute
from gradreg_verify.vectors.frozen import PUBLISHED, published
from gradreg_verify.vectors.numbers import decode, encode

# exp, tanh and erf differ between mathematical libraries in their last digits.
LIMIT = 1e-11
NUMBERS = ("value", "gradient")
NEEDED = {"name", "penalty", "options", "layers", "x", "y", "exact", *NUMBERS}
Entries = dict[str, dict[str, Any]]


@dataclass
class Checked:
    """What came of a folder.

    Parameters
    ----------
    wrong : list of str
        A sentence for everything that is wrong.
    cases : int
        Vectors recomputed.
    recomputed : int
        Their numbers, compared with the reference's.
    results : int
        Files of results.
    compared : int
        Their numbers, compared with the vectors'.
    """

    wrong: list[str] = field(default_factory=list)
    cases: int = 0
    recomputed: int = 0
    results: int = 0
    compared: int = 0


def check(folder: Path) -> Checked:
    """Hold a folder's vectors against the reference, and results beside them against the vectors.

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
    paths = sorted(p for p in folder.glob("*.json") if not p.name.endswith(".results.json"))
    if not paths:
        raise ValueError(
            f"expected vectors (*.json) in {folder}; gradreg vectors export writes them"
        )
    found, cases = Checked(), Entries()
    for path in paths:
        new = read_json(path, "vectors", partial(recomputed, found))
        if path.name in PUBLISHED and path.read_text(encoding="utf-8") != published(path.name):
            found.wrong.append(f"{path.name} is not the file that was published")
        found.wrong += [
            f"{path.name}: case {n!r} is in another file too" for n in new if n in cases
        ]
        cases |= new
    for path in sorted(folder.glob("*.results.json")):
        found.results += 1
        wrong = read_json(path, "results", partial(held_against, cases, found))
        found.wrong += [f"{path.name}: {sentence}" for sentence in wrong]
    return found


def recomputed(found: Checked, data: Any) -> Entries:
    """The cases of a file, by name; what the reference gives otherwise is noted."""
    require_keys("a file of vectors", data, {"cases"}, {"format", "about"})
    if data.get("format", 1) != 1:
        raise ValueError(f"format {data['format']!r}, where this version reads format 1")
    cases = by_name("cases", data)
    for name, case in cases.items():
        with_name(name, partial(require_keys, "a case", case, NEEDED, {"probes"}))
        got = with_name(name, partial(compute, case))
        for what, numbers in zip(NUMBERS, got, strict=True):
            found.wrong += with_name(name, partial(differs, case, what, numbers))
            found.recomputed += numbers.size
    found.cases += len(cases)
    return cases


def held_against(cases: Entries, found: Checked, data: Any) -> list[str]:
    """What the results of a file have otherwise than their cases."""
    require_keys("a file of results", data, {"results"}, {"penalties", "about"})
    results = by_name("results", data)
    asked = {n for n, case in cases.items() if case["penalty"] in asked_for(cases, data)}
    wrong = [f"no case {name!r}" for name in results.keys() - asked]
    wrong += [f"no result of the case {name!r}" for name in asked - results.keys()]
    with_gradient = any("gradient" in result for result in results.values())
    needed = {"name", *(NUMBERS if with_gradient else NUMBERS[:1])}
    for name in results.keys() & asked:
        with_name(name, partial(require_keys, "a result", results[name], needed, set()))
        for what in sorted(needed - {"name"}, reverse=True):
            numbers = with_name(name, partial(decode, results[name][what]))
            said = with_name(name, partial(differs, cases[name], what, numbers))
            wrong += [f"{one}{known_mistake(cases[name], what, numbers)}" for one in said]
            found.compared += numbers.size
    return sorted(wrong)


def asked_for(cases: Entries, data: dict[str, Any]) -> set[str]:
    """The penalties that the file has results of: all, unless it names some."""
    known = {case["penalty"] for case in cases.values()}
    named = set(data.get("penalties", known))
    if unknown := named - known:
        raise ValueError(f"penalties {sorted(unknown)}, where the vectors have {sorted(known)}")
    return named


def by_name(key: str, data: dict[str, Any]) -> Entries:
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


def require_keys(what: str, data: Any, needed: set[str], allowed: set[str]) -> None:
    """No key is missing, and none is there that nothing reads: it may be a misspelt one."""
    if not isinstance(data, dict):
        raise ValueError(f"{what} that is no object")
    if missing := needed - data.keys():
        raise ValueError(f"{what} without {', '.join(map(repr, sorted(missing)))}")
    if unknown := data.keys() - needed - allowed:
        known = ", ".join(sorted(needed | allowed))
        raise ValueError(f"{what} with the key {min(unknown)!r}, where it may have {known}")


def with_name(name: str, make: Callable[[], Any]) -> Any:
    """What is made; the name of the case goes before what is wrong with it."""
    try:
        return make()
    except WRONG as error:
        raise ValueError(f"{name}: {in_words(error)}") from error


def differs(case: dict[str, Any], what: str, got: Array) -> list[str]:
    """A sentence if a number is not that of the case: exactly, or to rounding."""
    expected = decode(case[what])
    if got.shape != expected.shape:
        return [f"{case['name']}, {what}: expected shape {expected.shape}, got {got.shape}"]
    size = max(float(np.abs(expected).max(initial=0)), 1e-6)
    with np.errstate(invalid="ignore"):  # infinities of a result
        difference = float(np.abs(got - expected).max(initial=0)) / size
    if difference <= (0 if case["exact"] else LIMIT):
        return []
    return [f"{case['name']}, {what}: differs by {difference:.1e} of {size:.3g}"]


def known_mistake(case: dict[str, Any], what: str, got: Array) -> str:
    """Which mistake of the kit's catalogue gives such a number; nothing if none does."""
    for wrong in catalogue.WRONG:
        if wrong.penalty == case["penalty"] and (made := by_mistake(case, wrong)):
            number = encode(made[NUMBERS.index(what)])
            if not differs(case | {what: number, "exact": False}, what, got):
                return f"; such is: {wrong.name}"
    return ""


def by_mistake(case: dict[str, Any], wrong: catalogue.Wrong) -> tuple[Array, Array] | None:
    """Value and gradient by a wrong formula; None where it has none for the case."""
    try:
        return compute(case, wrong.formula)
    except WRONG:
        return None


def catches(case: dict[str, Any], wrong: catalogue.Wrong) -> bool:
    """Whether a mistake shows in the value or the gradient of a case."""
    made = by_mistake(case, wrong) if wrong.penalty == case["penalty"] else None
    return made is not None and any(
        differs(case, what, number) for what, number in zip(NUMBERS, made, strict=True)
    )
