"""``python benchmarks/report.py``: tables and plot of the docs, from the committed results."""

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt

HERE = Path(__file__).parent
DOCS = HERE.parent / "docs"
# What there is to decide, as docs/choose.md has it.
CHOICES = {
    "spectreg": "`spectreg` or `doubleback`, one product",
    "spectreg, 5 orthogonal": "5 orthogonal probes",
    "frobreg": "`frobreg`, exact, 10 classes",
    "frobreg, batchnorm=eval": '`frobreg`, `batchnorm="eval"`',
    "spectreg, every=16": "`every=16`",
    "spectreg, fraction=1/4": "`fraction=1/4`",
    "spectreg, forward": '`mode="forward"`',
    "spectreg, one_sided_difference": '`mode="one_sided_difference"`',
    "spectreg, finite_difference": '`mode="finite_difference"`',
}
ORDER = ("MLP", "LeNet", "residual net", "vision transformer")
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


def heading(framework: str, result: dict[str, Any]) -> list[str]:
    """Write what was run, and where."""
    return [
        f"{framework}, Python {result['python']}, {result['device']}:",
        "",
        *(f"- `{command}`" for command in result["commands"]),
        "",
    ]


def grid(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A table in Markdown, line by line."""
    first, *others = (f"| {' | '.join(cells)} |" for cells in (head, *rows))
    return [first, "|---" * len(head) + "|", *others]


COLUMNS = ("network", "m", "variant", "plain steps", "quartiles", "memory")


def cells(row: dict[str, Any]) -> list[str]:
    """The cells that rows of every framework have, under `COLUMNS`."""
    low, _, high = (f"`{quartile:.2f}`" for quartile in row["quartiles"])
    ratio, memory = f"`{row['ratio']:.2f}`", f"`{row['memory_ratio']:.2f}`"
    return [row["network"], str(row["m"]), row["variant"], ratio, f"{low}, {high}", memory]


def with_memory(row: dict[str, Any]) -> str:
    """Time of a step and memory."""
    return f"`{row['ratio']:.1f}` (`{row['memory_ratio']:.1f}`)"


def table(result: dict[str, Any]) -> str:
    """Write a row per variant, and the noise of the laws of probes."""
    noise = ("probes on the residual net", "relative standard deviation of the batch mean")
    laws = (
        (f"{law.get('num_probes', 1)} {law['probe']}", f"`{law['relative_sd']:.4f}`")
        for law in result["noise"]
    )
    steps = grid(COLUMNS, map(cells, result["rows"]))
    return "\n".join([*heading(f"torch {result['torch']}", result), *steps, "", *grid(noise, laws)])


def choices(result: dict[str, Any]) -> str:
    """Time of a step and memory with 10 classes: a line a choice, a column a network."""
    found = {(r["network"], r["variant"]): r for r in result["rows"] if r["m"] == 10}
    networks = sorted({network for network, _ in found}, key=ORDER.index)
    rows = []
    for variant, said in CHOICES.items():
        of = [found.get((network, variant)) for network in networks]
        rows.append([said, *(with_memory(row) if row else "–" for row in of)])
    return "\n".join(grid(["plain steps (memory)", *networks], rows))


def jax_table(result: dict[str, Any]) -> str:
    """Write a row per variant, and the times of the convolutions."""
    rows = [
        [*cells(row), f"`{row['operations_ratio']:.2f}`", f"`{row['compile_seconds']:.1f}`"]
        for row in result["rows"]
    ]
    steps = grid([*COLUMNS, "operations", "compiling, s"], rows)
    parts = list(result["convolutions"][0]["milliseconds"])
    layers = [
        [of["layer"], *(f"`{of['milliseconds'][part]:.2f}`" for part in parts)]
        for of in result["convolutions"]
    ]
    convolutions = grid(["ms for a convolution of LeNet, its", *parts], layers)
    return "\n".join([*heading(f"`jax {result['jax']}`", result), *steps, "", *convolutions])


def stacked(result: dict[str, Any]) -> str:
    """A line an arm, a column a number of seeds."""
    rows: dict[str, list[str]] = {}
    for row in result["rows"]:
        low, _, high = row["quartiles"]
        faster = f"`{row['speed_up']:.2f}` (`{low:.2f}`, `{high:.2f}`)"
        rows.setdefault(row["arm"], [row["arm"]]).append(faster)
    seeds = dict.fromkeys(f"{row['seeds']} seeds" for row in result["rows"])
    lines = grid(["times faster (quartiles)", *seeds], rows.values())
    return "\n".join([*heading(f"torch {result['torch']}", result), *lines])


def policy(result: dict[str, Any]) -> str:
    """A line for each robot, with one probe and exact."""
    rows: dict[str, list[str]] = {}
    for row in result["rows"]:
        cells = rows.setdefault(row["network"], [row["network"], str(row["states"]), str(row["m"])])
        if row["variant"] != "plain":
            cells.append(with_memory(row))
    lines = grid(["plain steps (memory)", "states", "actions", "one probe", "exact"], rows.values())
    return "\n".join([*heading(f"torch {result['torch']}", result), *lines])


def plot(result: dict[str, Any], path: Path) -> None:
    """Ratios with m = 10, a group for each network."""
    networks = list(dict.fromkeys(row["network"] for row in result["rows"]))
    figure, axes = plt.subplots(figsize=(9, 4.2), layout="constrained")
    height = 0.8 / len(BARS)
    for offset, (variant, label) in enumerate(BARS.items()):
        rows = [row for row in result["rows"] if (row["m"], row["variant"]) == (10, variant)]
        places = [networks.index(row["network"]) + offset * height for row in rows]
        axes.barh(places, [row["ratio"] for row in rows], height, label=label)
    axes.set_yticks([k + 0.4 - height / 2 for k in range(len(networks))], networks)
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_xlabel("time of a training step, in plain steps")
    axes.invert_yaxis()
    axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    figure.savefig(path, dpi=110)


TABLES = {  # by their marks: page, results, what makes it
    "cost": ("cost.md", "cpu.json", table),
    "cost in JAX": ("cost.md", "jax_cpu.json", jax_table),
    "choices": ("choose.md", "cpu.json", choices),
    "stacked": ("cost.md", "stacked_cpu.json", stacked),
    "policy": ("recipes.md", "policy_cpu.json", policy),
}


def results(name: str) -> dict[str, Any]:
    """Read the committed results."""
    return json.loads((HERE / "results" / name).read_text(encoding="utf-8"))


def main() -> None:
    """Write all tables into the docs, and draw the figure."""
    for mark, (name, source, make) in TABLES.items():
        page = DOCS / name
        between = re.compile(f"(?<=<!-- {mark} -->\n).*?(?=<!-- end -->)", re.DOTALL)
        made = f"\n{make(results(source))}\n\n"
        text = between.sub(lambda _, made=made: made, page.read_text(encoding="utf-8"))
        page.write_text(text, encoding="utf-8")
    plot(results("cpu.json"), DOCS / "images" / "cost.png")


if __name__ == "__main__":
    main()
