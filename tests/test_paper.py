"""docs/paper.md has the tables of experiments/results, and no other numbers."""

import csv
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from gradreg_experiments.reproduce.markdown import section

ROOT = Path(__file__).parents[1]
PAGE, RESULTS = ROOT / "docs" / "paper.md", ROOT / "experiments" / "results"
BETWEEN = re.compile(r"(<!-- result: ([\w/-]+) -->\n\n).*?(\n\n<!-- end -->)", re.DOTALL)


def records():
    """Of the experiments, by file: "toy", or "short/weight-decay" of runs that were cut short."""
    found = {}
    for path in [*RESULTS.glob("*.json"), *RESULTS.glob("short/*.json")]:
        record = json.loads(path.read_text(encoding="utf-8"))
        if "experiment" in record:
            found[path.relative_to(RESULTS).with_suffix("").as_posix()] = record
    return found


def written(text):
    """The page with the tables as they are."""
    found = records()
    return BETWEEN.sub(lambda m: m[1] + section(found[m[2]], image(m[2])) + m[3], text)


def image(name):
    """The figure beside the page, where there is one."""
    return f"images/{name}.png" if (PAGE.parent / "images" / f"{name}.png").exists() else None


def test_the_page_has_the_results():
    """To write it anew: ``python tests/test_paper.py``."""
    text = PAGE.read_text(encoding="utf-8")
    assert text == written(text)
    assert {m[2] for m in BETWEEN.finditer(text)} == set(records())


def test_every_run_of_a_table_is_kept():
    """Its file says with what it was made, and lets others go on from there."""
    kept = {path.stem for path in RESULTS.rglob("runs/*.json")}
    used = set()
    for name in set(records()) - {"toy", "local-global"}:
        with (RESULTS / f"{name}.csv").open(encoding="utf-8") as file:
            used |= {row["id"] for row in csv.DictReader(file)}
    assert used <= kept


@pytest.mark.parametrize("name", sorted(set(records()) - {"toy", "local-global"}))
def test_the_tables_are_those_of_the_runs(name):
    with (RESULTS / f"{name}.csv").open(encoding="utf-8") as file:
        runs = list(csv.DictReader(file))
    for row in records()[name]["rows"]:
        own = [r for r in runs if (r["row"], r["arm"]) == (row["row"], row["arm"])]
        own = [r for r in own if r["figure"] == row["figure"]]
        assert sorted(int(r["seed"]) for r in own) == row["seeds"]
        if own:
            mean = 100 * np.mean([float(r[row["figure"]]) for r in own])
            assert row["mean"] == pytest.approx(mean, abs=1e-3)


if __name__ == "__main__":
    for figure in RESULTS.glob("*.png"):  # as `gradreg reproduce --out experiments/results` left it
        shutil.copy(figure, PAGE.parent / "images")
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
