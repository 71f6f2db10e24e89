"""Mutation testing: ``python tests/mutation.py reference|torch FOLDER`` (nox -s mutation).

A copy of the tracked files is mutated in FOLDER by mutmut, which runs for every mutant the tests
that reach it. The score is the share of mutants that a test turns red. Words of error messages are
not mutated, and mutants that `equivalent_mutants.toml` explains are not counted.
"""

import json
import re
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
EQUIVALENT = tomllib.loads((HERE / "equivalent_mutants.toml").read_text(encoding="utf-8"))
# A line that is a message, or begins one.
WORDS = [
    r"raise \w+Error",
    r"raise unknown\(",
    r"^\s+hint = ",
    r'^\s+f?".*"$',
    r'^\s+f"',
    r'^\s+else "for',
]


@dataclass(frozen=True)
class Part:
    """What is mutated, by which tests it is held, and the score it must reach."""

    source: str
    tests: tuple[str, ...]
    goal: float


PARTS = {
    "reference": Part(
        "gradreg_ref",
        (
            "-k",
            "not torch and not jax",
            "--ignore=tests/torch_backend",
            "--ignore=tests/jax_backend",
            "--deselect=tests/test_claims.py",
        ),
        0.99,
    ),
    "torch": Part(
        "gradreg_torch",
        (
            "-k",
            "not loopback and not jax",
            "--deselect=tests/torch_backend/test_verify.py",
            "--deselect=tests/torch_backend/test_self_test.py",
        ),
        0.95,
    ),
}
# What the tests import beside the mutated package.
PACKAGES = ("gradreg_ref", "gradreg_verify", "backends", "cli", "experiments")
SLOW = ("test_toy.py", "test_catalogue.py", "test_cli.py", "test_vectors.py", "test_imports.py")


def prepare(part: Part, folder: Path) -> None:
    """The tracked files, the mutated package at the top, and mutmut's settings."""
    shutil.rmtree(folder, ignore_errors=True)
    tracked = subprocess.run(["git", "ls-files"], capture_output=True, text=True, check=True)
    for name in tracked.stdout.split():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(name, folder / name)
    if part.source == "gradreg_torch":
        (folder / "backends/gradreg_torch").rename(folder / "gradreg_torch")
    tests = ["-p", "no:cacheprovider", *part.tests, *(f"--ignore=tests/{name}" for name in SLOW)]
    settings = {
        "source_paths": [part.source],
        "do_not_mutate_patterns": WORDS,
        "also_copy": ["tests", "conftest.py", "docs", "README.md", *PACKAGES],
        "process_isolation": "forkserver" if part.source == "gradreg_torch" else "fork",
        "pytest_add_cli_args": tests,
        "pytest_add_cli_args_test_selection": ["tests"],
    }
    lines = [f"{name} = {json.dumps(value)}" for name, value in settings.items()]  # as TOML
    with (folder / "pyproject.toml").open("a", encoding="utf-8") as pyproject:
        pyproject.write("\n[tool.mutmut]\n" + "\n".join(lines) + "\n")


def mutmut(*arguments: str, folder: Path) -> str:
    """What mutmut says."""
    run = [sys.executable, "-m", "mutmut", *arguments]
    return subprocess.run(run, cwd=folder, capture_output=True, text=True, check=True).stdout


def explained(diff: str) -> bool:
    """Whether a diff is of an equivalent mutant: one line that the list has a reason for."""
    plus = [line[1:].strip() for line in re.findall(r"^\+(?!\+).*", diff, flags=re.MULTILINE)]
    return any(
        re.search(entry["pattern"], line) for line in plus for entry in EQUIVALENT["equivalent"]
    )


def score(part: Part, folder: Path) -> bool:
    """Print the score and every survivor; whether the goal is reached."""
    verdicts = dict(
        line.strip().rsplit(": ", 1)
        for line in mutmut("results", "--all", "true", folder=folder).splitlines()
        if ": " in line
    )
    alive = [name for name, verdict in verdicts.items() if verdict not in ("killed", "timeout")]
    diffs = {name: mutmut("show", name, folder=folder) for name in alive}
    survivors = [name for name in alive if not explained(diffs[name])]
    counted = len(verdicts) - (len(alive) - len(survivors))
    reached = 1 - len(survivors) / counted
    for name in survivors:
        print(f"survived: {name}\n{diffs[name]}")
    print(
        f"{part.source}: {dict(Counter(verdicts.values()))}; {len(alive) - len(survivors)} "
        f"equivalent; score {reached:.1%} of {counted}, goal {part.goal:.0%}"
    )
    return reached >= part.goal


def main() -> int:
    """0: the goal is reached."""
    part, folder = PARTS[sys.argv[1]], Path(sys.argv[2])
    prepare(part, folder)
    run = [sys.executable, "-m", "mutmut", "run", "--max-children", "2"]
    subprocess.run(run, cwd=folder, check=True)
    return 0 if score(part, folder) else 1


if __name__ == "__main__":
    sys.exit(main())
