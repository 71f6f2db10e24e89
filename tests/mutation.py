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


OF_PENALTIES = ("spectreg", "frobreg", "doubleback", "jacreg", "onehot", "confidence_penalty")
OF_PENALTIES += ("weight_decay",)
OF_REFERENCE = ("checks", "complex_step", "conventions", "cubature", "identify", "losses")
OF_REFERENCE += ("messages", "moments", "probes", "rounding", "symbolic")
OF_TORCH = ("arguments", "batch_norm", "convert", "forms", "layers", "modes", "precision")
OF_TORCH += ("refusals", "steps", "wrong")


@dataclass(frozen=True)
class Part:
    """What is mutated, the tests that hold it, which of them are left out, and the goal."""

    source: str
    tests: tuple[str, ...]
    without: str
    goal: float


PARTS = {
    "reference": Part(
        "gradreg_ref",
        (*OF_PENALTIES, *OF_REFERENCE, "torch_backend/test_convert"),
        "not torch-cpu and not jax-cpu",
        0.99,
    ),
    "torch": Part(
        "gradreg_torch",
        (*OF_PENALTIES, *(f"torch_backend/test_{name}" for name in OF_TORCH)),
        "not loopback-cpu and not jax-cpu",
        0.95,
    ),
}
# What the tests read and import beside the mutated package.
BESIDE = ["tests", "conftest.py", "docs", "README.md", "gradreg_ref", "gradreg_verify", "backends"]


def prepare(part: Part, folder: Path) -> None:
    """The tracked files, the mutated package at the top, and mutmut's settings."""
    shutil.rmtree(folder, ignore_errors=True)
    tracked = subprocess.run(["git", "ls-files"], capture_output=True, text=True, check=True)
    for name in tracked.stdout.split():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(name, folder / name)
    if part.source == "gradreg_torch":
        (folder / "backends/gradreg_torch").rename(folder / "gradreg_torch")
    tests = [f"tests/{name}.py" if "/" in name else f"tests/test_{name}.py" for name in part.tests]
    settings = {
        "source_paths": [part.source],
        "do_not_mutate_patterns": WORDS,
        "also_copy": BESIDE,
        "process_isolation": "forkserver" if part.source == "gradreg_torch" else "fork",
        "pytest_add_cli_args": ["-p", "no:cacheprovider", "-k", part.without],
        "pytest_add_cli_args_test_selection": tests,
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
