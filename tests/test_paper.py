"""docs/paper.md has the tables of experiments/results, and no other numbers."""

import csv
import json
import re
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from gradreg_experiments.reproduce.page import section
from gradreg_experiments.runs import Run
from gradreg_experiments.runs.store import require_sum
from gradreg_experiments.toy.table import POSTER
from scipy import stats

ROOT = Path(__file__).parents[1]
PAGE, RESULTS = ROOT / "docs" / "paper.md", ROOT / "experiments" / "results"
BETWEEN = re.compile(r"(<!-- result: ([\w/-]+) -->\n\n).*?(\n\n<!-- end -->)", re.DOTALL)
OF_TOYS, SHARED, TUNED = "toys", "notes", "reduced/*/tune.json"


def records():
    """Return the experiments by file, "toy" say; the reduced protocol has folders of its own."""
    found = {}
    for path in (p for part in ("", "reduced/", "wide/") for p in RESULTS.glob(f"{part}*.json")):
        record = json.loads(path.read_text(encoding="utf-8"))
        if "experiment" in record:
            found[path.relative_to(RESULTS).with_suffix("").as_posix()] = record
    return found


def written(text):
    """The page with the tables as they are."""
    found, notes = records(), shared()

    def made(name):
        if name in tuned():
            return grid(name)
        if name == OF_TOYS:
            return toys(found)
        if name == SHARED:
            return "\n".join(f"- {note}" for note in notes)
        own = [note for note in found[name]["departures"] if note not in notes]
        return section(found[name] | {"departures": own}, image(name))

    return BETWEEN.sub(lambda m: m[1] + made(m[2]) + m[3], text)


def shared():
    """The notes of many tables, which the page has once."""
    counted = Counter(note for name in sorted(tables()) for note in records()[name]["departures"])
    return [note for note, times in counted.items() if times > 3]


def tuned():
    """Grids of λ, as `gradreg tune` left them, by file."""
    return {path.relative_to(RESULTS).with_suffix("").as_posix() for path in RESULTS.glob(TUNED)}


def grid(name):
    """Accuracy on validation and test images against λ, and what made it."""
    record = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    with (RESULTS / f"{name}.csv").open(encoding="utf-8") as file:
        runs = list(csv.DictReader(file))
    head = ["λ", "seeds", "validation (sd)", "test (sd)", ""]
    lines = [head, ["---:"] * 4 + ["---"]]
    for lam in dict.fromkeys(run["lambda"] for run in runs):
        own = [run for run in runs if run["lambda"] == lam]
        parts = [[100 * float(run[part]) for run in own] for part in ("validation", "test")]
        said = [f"{np.mean(a):.2f} ({np.std(a, ddof=1):.2f})" for a in parts]
        chosen = "chosen" * (float(lam) == record["chosen"])
        lines.append([f"{float(lam):g}", str(len(own)), *said, chosen])
    versions = ", ".join(f"{k} {v}" for k, v in record["versions"].items())
    rows = [f"| {' | '.join(line)} |" for line in lines]
    return "\n".join([*rows, "", f"`{record['command']}`: {versions}."])


def image(name):
    """The figure beside the page, where there is one."""
    path = f"images/{name.replace('/', '-')}.png"
    return path if (PAGE.parent / path).exists() else None


def toys(found):
    """The toy problem with the functions and noises of the scripts' history, below the poster's."""
    head = [
        "learnt",
        "σ",
        "seeds",
        "λ = 0",
        "best λ",
        "MSE there",
        "best / 0",
        "0.3 / 0.1",
        "1 / 0",
    ]
    lines = [head, ["---", *["---:"] * 8], toy_line("poster", "?", 10, POSTER)]
    for _, record in sorted(found.items()):
        if record["experiment"].startswith("toy"):
            rows = [r for r in record["rows"] if r["penalty"] in ("none", "SpectReg")]
            mse = {r["lam"]: r["mse"] for r in rows}
            said, noise = record["settings"]["target"], f"{record['settings']['noise']:g}"
            lines.append(toy_line(said.removesuffix(" on [-1, 1]"), noise, rows[0]["seeds"], mse))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def toy_line(name, noise, seeds, mse):
    """MSE in 1e-5 at λ = 0 and at the best λ, and what the poster's row has in ratios."""
    best = min((lam for lam in mse if lam), key=mse.get)
    ratios = [mse[best] / mse[0], mse[0.3] / mse[0.1], mse[1] / mse[0]]
    numbers = [f"{mse[0]:.1f}", f"{best:g}", f"{mse[best]:.1f}", *(f"{r:.3g}" for r in ratios)]
    return [name, noise, str(seeds), *numbers]


def test_the_page_has_the_results():
    """To write it anew: ``python tests/test_paper.py``."""
    text = PAGE.read_text(encoding="utf-8")
    assert text == written(text)
    shown = {m[2] for m in BETWEEN.finditer(text)}
    named = {n for n in records() if not n.startswith("toy-")}
    assert shown == named | tuned() | {OF_TOYS, SHARED}


def tables():
    """Those of accuracies, with a file for each run."""
    return {n for n in records() if not n.startswith("toy") and n != "local-global"}


def test_every_run_of_a_table_is_kept():
    """Its file says with what it was made, and lets others go on from there."""
    kept = {path.stem for path in RESULTS.rglob("runs/*.json")}
    used = set()
    for name in tables():
        with (RESULTS / f"{name}.csv").open(encoding="utf-8") as file:
            used |= {row["id"] for row in csv.DictReader(file)}
    assert used <= kept


@pytest.mark.parametrize("name", sorted(tables()))
def test_the_tables_are_those_of_the_runs(name):
    with (RESULTS / f"{name}.csv").open(encoding="utf-8") as file:
        runs = list(csv.DictReader(file))
    for row in records()[name]["rows"]:
        own = [r for r in runs if (r["row"], r["arm"]) == (row["row"], row["arm"])]
        own = [r for r in own if r["figure"] == row["figure"]]
        assert sorted(int(r["seed"]) for r in own) == row["seeds"]
        if own:
            values = [100 * float(r[row["figure"]]) for r in own]
            assert row["mean"] == pytest.approx(np.mean(values), abs=1e-3)
            sd = np.std(values, ddof=1) if len(values) > 1 else None
            assert row["sd"] == (None if sd is None else pytest.approx(sd, abs=1e-3))


def test_differences_are_those_of_the_runs():
    """The whole path again by SciPy, of the table that most is said of."""
    with (RESULTS / "weight-decay.csv").open(encoding="utf-8") as file:
        runs = {
            (r["row"], r["arm"], r["seed"]): 100 * float(r["test"]) for r in csv.DictReader(file)
        }
    for row in records()["weight-decay"]["rows"]:
        if row["arm"] != "baseline" and row["seeds"]:
            ours, theirs = (
                [runs[row["row"], arm, str(seed)] for seed in row["seeds"]]
                for arm in (row["arm"], "baseline")
            )
            test, d = stats.ttest_rel(ours, theirs), row["difference"]
            assert d["p"] == pytest.approx(test.pvalue, rel=1e-3)
            interval = test.confidence_interval(0.95)
            assert (d["low"], d["high"]) == pytest.approx(tuple(interval), abs=1e-3)


@pytest.mark.parametrize("path", sorted(RESULTS.rglob("runs/*.json")), ids=lambda path: path.stem)
def test_a_kept_run_has_the_name_of_its_setting(path):
    """A default that changed would make it another run's."""
    record = json.loads(path.read_text(encoding="utf-8"))
    assert Run(**record["outcome"]["run"]).id == path.stem
    require_sum(record)


if __name__ == "__main__":
    # As `gradreg reproduce --out experiments/results` left them.
    folders = ("", "reduced/", "reduced/*/", "wide/")
    for figure in [path for folder in folders for path in RESULTS.glob(f"{folder}*.png")]:
        if not figure.stem.startswith("toy"):
            name = figure.relative_to(RESULTS).as_posix().replace("/", "-")
            shutil.copy(figure, PAGE.parent / "images" / name)
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
