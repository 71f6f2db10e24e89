"""Frozen test vectors: cases with their results, in JSON, for an implementation in any language.

A published file never changes; new cases come in a new file. docs/vectors.md has the format.
"""

import json
import os
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from gradreg_ref.typing import Array
from gradreg_verify.examples import Example, Variant, all_variants, bundled
from gradreg_verify.vectors.cases import compute, write_layer
from gradreg_verify.vectors.numbers import decode, encode

PUBLISHED = ("v1.json",)
# exp, tanh and erf differ between mathematical libraries in their last digits.
LIMIT = 1e-11
SMALL = 30  # parameters of a network in a case


def published(name: str) -> str:
    """The text of a published file."""
    return (files("gradreg_verify.vectors") / name).read_text(encoding="utf-8")


def export(folder: Path) -> list[Path]:
    """Copy the published files to a folder, which is made if need be."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name in PUBLISHED:
        new = folder / (name + ".new")
        new.write_text(published(name), encoding="utf-8")
        os.replace(new, folder / name)
        written.append(folder / name)
    return written


def check(folder: Path) -> list[str]:
    """Hold a folder's vectors against the reference, and results beside them against the vectors.

    Parameters
    ----------
    folder : Path
        With files of vectors, as `export` writes them, and any number of ``NAME.results.json``:
        results of another implementation, by the name of the case.

    Returns
    -------
    list of str
        A sentence for everything that is wrong; empty if nothing is.

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
    wrong, cases = [], {}
    for path in paths:
        if path.name in PUBLISHED and path.read_text(encoding="utf-8") != published(path.name):
            wrong.append(f"{path.name} is not the file that was published")
        for case in load(path, "cases"):
            cases[case["name"]] = case
            wrong += recomputed(case)
    for path in sorted(folder.glob("*.results.json")):
        for result in load(path, "results"):
            wrong += [f"{path.name}: {what}" for what in held_against(cases, result)]
    return wrong


def load(path: Path, key: str) -> list[dict[str, Any]]:
    """The entries of a file under a key."""
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))[key]
        if not all(isinstance(entry["name"], str) for entry in entries):
            raise ValueError("a name is no string")
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"expected {{'{key}': [{{'name': …}}]}} in {path}: {error}") from error
    return list(entries)


def recomputed(case: dict[str, Any]) -> Iterator[str]:
    """What the reference gives otherwise than the vector says."""
    value, gradient = compute(case)
    for what, got in (("value", value), ("gradient", gradient)):
        yield from differs(case, what, got)


def held_against(cases: dict[str, dict[str, Any]], result: dict[str, Any]) -> Iterator[str]:
    """What a result has otherwise than its case."""
    if result["name"] not in cases:
        yield f"no case {result['name']!r}"
        return
    for what in ("value", "gradient"):
        if what in result:
            yield from differs(cases[result["name"]], what, decode(result[what]))


def differs(case: dict[str, Any], what: str, got: Array) -> Iterator[str]:
    """A sentence if a number is not that of the case: exactly, or to rounding."""
    expected = decode(case[what])
    if got.shape != expected.shape:
        yield f"{case['name']}, {what}: expected shape {expected.shape}, got {got.shape}"
        return
    size = max(float(np.abs(expected).max(initial=0)), 1e-6)
    difference = float(np.abs(got - expected).max(initial=0)) / size
    if not difference <= (0 if case["exact"] else LIMIT):
        yield f"{case['name']}, {what}: differs by {difference:.1e} of {size:.3g}"


def new_cases() -> Iterator[dict[str, Any]]:
    """What a new file would have: every penalty on every small bundled example."""
    for number, e in enumerate(bundled()):
        if e.network.parameters().size > SMALL or np.abs(e.z).max() > 50:
            continue
        for variant in (*all_variants(e), Variant("weight_decay", {}, e.exact)):
            loss = variant.options.get("loss", "")
            form = "projected" if "probes" in variant.options else ""
            name = "-".join(filter(None, [f"{number:02d}", variant.penalty, form, loss]))
            yield with_results(name, e, variant.penalty, variant.options, variant.exact)


def with_results(
    name: str, e: Example, penalty: str, options: dict[str, Any], exact: bool
) -> dict[str, Any]:
    """A case with its value and gradient."""
    regression = options.get("loss") == "mean_squared_error"
    case: dict[str, Any] = {
        "name": name,
        "penalty": penalty,
        "options": {k: v for k, v in options.items() if k != "probes"},
        "layers": [write_layer(layer) for layer in e.network.layers],
        "x": encode(e.x),
        "y": encode(e.targets if regression else e.y),
        "exact": exact,
    }
    if "probes" in options:
        case["probes"] = encode(options["probes"])
    value, gradient = compute(case)
    return case | {"value": encode(value), "gradient": encode(gradient)}
