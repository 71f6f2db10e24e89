"""What `check_model` says of two networks and how long it takes, written into docs/check.md.

python benchmarks/check_reports.py
"""

import re
from pathlib import Path
from time import process_time

import gradreg_torch as gt
import torch
from gradreg_torch.check import ModelReport
from losses import plain
from networks import SUBJECTS

PAGE = Path(__file__).parents[1] / "docs" / "check.md"
BETWEEN = re.compile(r"(?<=<!-- reports -->\n).*?(?=<!-- end -->)", re.DOTALL)
EXAMPLES, CLASSES, STEPS = 8, 10, 20
NETWORKS = ("LeNet", "residual net")


def checked(name: str) -> tuple[ModelReport, float]:
    """The report on a network, and how many plain steps the check took."""
    subject = SUBJECTS[name]
    torch.manual_seed(0)
    model, x = subject.make(CLASSES), torch.randn(EXAMPLES, *subject.shape)
    y = torch.randint(CLASSES, (EXAMPLES,))
    g = torch.Generator().manual_seed(1)
    start = process_time()
    report = gt.check_model(model, x, y, gt.SpectReg(generator=g))
    taken = process_time() - start
    start = process_time()
    for _ in range(STEPS):
        model.zero_grad()
        plain(model, x, y).backward()
    return report, taken * STEPS / (process_time() - start)


def section(name: str) -> str:
    """A network's report, as docs/check.md has it."""
    report, steps = checked(name)
    return f"{name}. The check takes `{steps:.0f}` plain steps.\n\n```text\n{report}\n```\n"


def main() -> None:
    """Write all sections."""
    torch.set_num_threads(1)
    head = f"torch {torch.__version__}, one CPU thread: `python benchmarks/check_reports.py`\n"
    made = "\n".join(["", head, *map(section, NETWORKS), ""])
    text = BETWEEN.sub(lambda _: made, PAGE.read_text(encoding="utf-8"))
    PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
