"""The files that were published, and what a new one would have."""

from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from gradreg_verify.examples import Example, Variant, all_variants, bundled
from gradreg_verify.files import write_atomically
from gradreg_verify.vectors.cases import compute, write_layer
from gradreg_verify.vectors.numbers import encode

PUBLISHED = ("v1.json",)
SCHEMA = "vectors.schema.json"
SMALL = 30  # parameters of a network in a case


def mistakes_of(name: str) -> str:
    """The file that names the mistakes which the vectors of a published file catch."""
    return name.replace(".json", ".mistakes.json")


def published(name: str) -> str:
    """The text of a file of this package."""
    return (files("gradreg_verify.vectors") / name).read_text(encoding="utf-8")


def export(folder: Path) -> list[Path]:
    """Copy the vectors, the mistakes they catch and the schema to a folder, made if need be."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [*PUBLISHED, *map(mistakes_of, PUBLISHED), SCHEMA]
    for name in names:
        write_atomically(folder / name, published(name).encode())
    return [folder / name for name in names]


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
