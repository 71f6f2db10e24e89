"""How noisy the gradient of SpectReg is under each law of probes, on nets trained for a while.

For each law: draws of the penalty and of its parameter gradient on one batch, against the exact
values (FrobReg). The figure is noise over signal, sqrt(E|g - Eg|^2) / |Eg|.

    python benchmarks/probe_noise.py --out benchmarks/results/probe_noise.json
"""

import argparse
import json
import platform
from pathlib import Path

import torch
from gradreg_torch import draw_probes, frobreg, spectreg
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F

LAWS = ("gaussian", "rademacher", "sphere", "frames")
# Classes, batch sizes: a batch smaller than m fills a part of one frame.
CASES = {10: (5, 10, 50), 100: (50, 100), 200: (50, 200)}


def problem(m: int) -> tuple[nn.Module, Tensor]:
    """A small conv net trained for 300 steps on digits in m classes, and the images.

    For m > 10 a class is the nearest of m random images.
    """
    torch.manual_seed(0)
    digits = load_digits()
    x = torch.tensor(digits.images, dtype=torch.float32)[:, None] / 16
    y = torch.tensor(digits.target)
    if m > 10:
        centres = x[torch.randperm(len(x))[:m]]
        y = torch.cdist(x.flatten(1), centres.flatten(1)).argmin(dim=1)
    convolutions = (nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 16, 3, stride=2))
    model = nn.Sequential(*convolutions, nn.ReLU(), nn.Flatten(), nn.Linear(144, m))
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(300):
        rows = torch.randint(0, len(x), (50,))
        optimiser.zero_grad()
        F.cross_entropy(model(x[rows]), y[rows]).backward()
        optimiser.step()
    return model, x[torch.randperm(len(x))]


def gradient(value: Tensor, model: nn.Module) -> Tensor:
    """The parameter gradient, flat."""
    gradients = torch.autograd.grad(
        value, list(model.parameters()), allow_unused=True, materialize_grads=True
    )
    return torch.cat([g.flatten() for g in gradients])


def noise(model: nn.Module, x: Tensor, m: int, law: str, q: int, draws: int) -> dict[str, float]:
    """Noise over signal of the batch mean and of its gradient."""
    exact = frobreg(model, x)
    mean, signal = exact.detach(), gradient(exact, model)
    g = torch.Generator().manual_seed(1)
    value_error, gradient_error = 0.0, 0.0
    for _ in range(draws):
        probes = draw_probes(law, len(x), m, q, generator=g)
        value = spectreg(model, x, probes=probes)
        value_error += float((value.detach() - mean) ** 2)
        gradient_error += float((gradient(value, model) - signal).square().sum())
    return {
        "value": (value_error / draws) ** 0.5 / float(mean),
        "gradient": (gradient_error / draws) ** 0.5 / float(signal.norm()),
    }


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="JSON file to write (default: print only)")
    parser.add_argument("--draws", type=int, default=400, help="draws of each law (default: 400)")
    arguments = parser.parse_args()
    if arguments.draws < 2:
        raise SystemExit(f"expected --draws >= 2, got {arguments.draws}")
    torch.set_num_threads(1)
    rows = []
    for m, sizes in CASES.items():
        model, x = problem(m)
        for B in sizes:
            for law in LAWS:
                for q in (1, 2) if (m, B) == (10, 50) else (1,):
                    found = noise(model, x[:B], m, law, q, arguments.draws)
                    rows.append({"m": m, "B": B, "law": law, "num_probes": q} | found)
                    value, grad = found.values()
                    print(f"m {m:3} B {B:3} {law:10} q {q}  value {value:.4f}  gradient {grad:.4f}")
    if arguments.out:
        facts = {
            "command": f"python benchmarks/probe_noise.py --draws {arguments.draws}",
            "torch": torch.__version__,
            "machine": platform.machine(),
            "rows": rows,
        }
        arguments.out.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
