"""``python benchmarks/report.py``: docs/cost.md and its plot, from the committed results."""

import json
import re
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt

HERE = Path(__file__).parent
DOCS = HERE.parent / "docs"
MARKS = re.compile(r"(?<=<!-- cost -->\n).*?(?=<!-- end -->)", re.DOTALL)
BARS = {
    "spectreg": "SpectReg",
    "spectreg by hand": "SpectReg, by hand",
    "doubleback": "DoubleBack",
    "spectreg, every=16": "SpectReg, every=16",
    "spectreg, fraction=1/4": "SpectReg, fraction=1/4",
    "spectreg, forward": "SpectReg, forward",
    "spectreg, finite_difference": "SpectReg, finite differences",
    "spectreg, one_sided_difference": "SpectReg, one-sided",
}


def table(result: dict[str, Any]) -> str:
    """Every row, and the noise of the laws of probes."""
    lines = [
        f"torch {result['torch']}, Python {result['python']}, {result['device']}:",
        "",
        *(f"- `{command}`" for command in result["commands"]),
        "",
        "| network | m | variant | plain steps | quartiles | memory |",
        "|---|---|---|---|---|---|",
    ]
    for row in result["rows"]:
        low, _, high = row["quartiles"]
        lines.append(
            f"| {row['network']} | {row['m']} | {row['variant']} | `{row['ratio']:.2f}` "
            f"| `{low:.2f}`, `{high:.2f}` | `{row['memory_ratio']:.2f}` |"
        )
    lines += [
        "",
        "| probes on the residual net | relative standard deviation of the batch mean |",
        "|---|---|",
    ]
    for law in result["noise"]:
        lines.append(f"| {law.get('num_probes', 1)} {law['probe']} | `{law['relative_sd']:.4f}` |")
    return "\n".join(lines)


def plot(result: dict[str, Any], path: Path) -> None:
    """Ratios with m = 10, a group for each network."""
    networks = list(dict.fromkeys(row["network"] for row in result["rows"]))
    figure, axes = plt.subplots(figsize=(9, 4.2), layout="constrained")
    height = 0.8 / len(BARS)
    for offset, (variant, label) in enumerate(BARS.items()):
        found = {
            row["network"]: row["ratio"]
            for row in result["rows"]
            if (row["m"], row["variant"]) == (10, variant)
        }
        places = [networks.index(name) + offset * height for name in found]
        axes.barh(places, list(found.values()), height, label=label)
    axes.set_yticks([k + 0.4 - height / 2 for k in range(len(networks))], networks)
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_xlabel("time of a training step, in plain steps")
    axes.invert_yaxis()
    axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    figure.savefig(path, dpi=110)


def main() -> None:
    """Both."""
    result = json.loads((HERE / "results" / "cpu.json").read_text(encoding="utf-8"))
    page = DOCS / "cost.md"
    text = page.read_text(encoding="utf-8")
    page.write_text(MARKS.sub(lambda _: f"\n{table(result)}\n\n", text), encoding="utf-8")
    plot(result, DOCS / "images" / "cost.png")


if __name__ == "__main__":
    main()
