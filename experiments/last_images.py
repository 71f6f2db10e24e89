"""The weight-decay table's networks on MNIST's last 10,000 training images.

The authors' scripts, in their last version, draw training images from the first 50,000 and test on
these; here the published test images are taken, and training images are of all 60,000. Of the
10,000, those that a network was trained on are left out.

    python experiments/last_images.py DATA OUT --out experiments/results/last-images.json

OUT is that of ``gradreg reproduce weight-decay --data DATA --out OUT``, with its weights.
"""

import argparse
import json
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gradreg_experiments.data import split, standardise
from gradreg_experiments.files import made_here
from gradreg_experiments.reproduce.experiments import EXPERIMENTS, Cell
from gradreg_experiments.reproduce.local_global import trained
from gradreg_experiments.runs import Store
from gradreg_experiments.runs.images import read
from gradreg_experiments.runs.training import figures

LAST = 10_000


def row(cell: Cell, seed: int, store: Store) -> dict[str, Any] | None:
    """Accuracy of one network on both, in per cent."""
    run = replace(cell.run, seed=seed)
    outcome = store.find(run)
    if outcome is None:
        return None
    data = read(run.data, store.data)
    first = len(data.train_labels) - LAST
    other = replace(
        data, test_images=data.train_images[first:], test_labels=data.train_labels[first:]
    )
    drawn = split(other, train=run.train, validation=run.validation, seed=seed)
    parts = standardise(drawn, run.standardisation)
    unseen = np.setdiff1d(np.arange(LAST), drawn.train_rows - first)
    network = trained(run, store, parts)
    accuracy, _, _ = figures(network, parts.test_images[unseen], parts.test_labels[unseen])
    return {
        "row": cell.row,
        "arm": cell.arm,
        "seed": seed,
        "test": round(100 * outcome.test, 4),
        "last": round(100 * accuracy, 4),
        "images": len(unseen),
    }


def main() -> None:
    """Test every network that is there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("runs", type=Path, help="OUT of gradreg reproduce")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    torch.set_num_threads(1)
    store = Store(given.runs / "runs", given.data)
    cells = EXPERIMENTS["weight-decay"]("mnist").cells
    found = [row(cell, seed, store) for cell in cells for seed in range(1, given.seeds + 1)]
    command = ["python", "experiments/last_images.py", "DATA", "OUT", "--seeds", str(given.seeds)]
    record = {
        "command": shlex.join(command),
        "versions": made_here()["versions"],
        "rows": [*filter(None, found)],
    }
    given.out.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
