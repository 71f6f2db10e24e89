"""The files that were published."""

from importlib.resources import files
from pathlib import Path

from gradreg_verify.files import require_ours, write_atomically

PUBLISHED = ("v1.json",)
SCHEMA = "vectors.schema.json"


def mistakes_of(name: str) -> str:
    """The file that names the mistakes which the vectors of a published file catch."""
    return name.replace(".json", ".mistakes.json")


def published(name: str) -> str:
    """The text of a file of this package."""
    return (files("gradreg_verify.vectors") / name).read_text(encoding="utf-8")


def export(folder: Path) -> list[Path]:
    """Copy the vectors, the mistakes they catch and the schema to a folder, made if need be.

    Raises
    ------
    ValueError
        A file of others has one of the names; nothing is written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names = [*PUBLISHED, *map(mistakes_of, PUBLISHED), SCHEMA]
    for name in names:
        remedy = "give another folder, or move the file away"
        require_ours(
            folder / name, "vectors of ours", lambda text: "docs/vectors.md" in text, remedy
        )
    for name in names:
        write_atomically(folder / name, published(name).encode())
    return [folder / name for name in names]
