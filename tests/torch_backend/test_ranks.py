"""Two processes as a user starts them: gradients of the whole batch, or a refusal."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch_backend import ranks

PAGE = Path(__file__).parents[2] / "docs" / "train.md"
SCRIPT = Path(ranks.__file__)
# 16 roundings of float64; two-sided differences with h = ∛ε; 16 roundings of bfloat16.
LIMITS = {"reverse": 2.0**-49, "forward": 2.0**-49, "finite_difference": 1e-9, "half": 2.0**-4}
BY_MODE = ("reverse", "forward", "finite_difference", "auto")

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="torchrun with gloo is tried on Linux"),
    pytest.mark.xdist_group("torchrun"),
]


@pytest.fixture(scope="module")
def found():
    if not torch.distributed.is_gloo_available():
        pytest.skip("this torch has no gloo")
    run = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(SCRIPT)]
    done = subprocess.run(
        [sys.executable, "-m", *run],
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


def verdict(name, result):
    """What a cell of the table says."""
    if isinstance(result, str):
        assert result.startswith("expected ")
        return "refused"
    wrapper, _, mode = name.split(" · ")
    if "bfloat16" in wrapper:
        limit = LIMITS["half"]
    elif mode == "auto":
        limit = LIMITS["finite_difference" if wrapper == "FSDP2" else "reverse"]
    else:
        limit = LIMITS[mode]
    return "right" if result < limit else f"WRONG by {result:.0e}"


def test_gradients_are_those_of_one_process(found):
    wrong = {
        name: result
        for name, result in found.items()
        if name.count(" · ") == 2 and "WRONG" in verdict(name, result)
    }
    assert not wrong


def test_every_case_was_run(found):
    assert [name for name, *_ in ranks.cases()] == list(found)[: len(list(ranks.cases()))]


def test_accumulation_training_and_kinks(found):
    assert found["DDP · accumulated"] < LIMITS["reverse"]
    assert found["DDP · ten steps"] < 1e-13
    assert found["FSDP2 · ReLU · finite_difference"] < LIMITS["finite_difference"]


def test_one_seed_gives_every_rank_its_own_probes(found):
    assert found["independent probes"] is True


def test_parameters_that_are_unused(found):
    """torch said that a variable was marked ready twice."""
    for step in ("objective", "penalty"):
        assert found[f"DDP, really unused · {step}"] < 1e-15


def test_ranks_with_fewer_inputs(found):
    """More than one pass in a step ended in std::terminate."""
    for step in ("objective", "beside_the_wrapper"):  # the remedy
        assert found[f"join · {step}"] < 1e-15
    for step in ("loss_first", "by_differences", "in_part"):
        assert "inside DistributedDataParallel.join()" in found[f"join · {step}"]


def test_hooks_and_functions_are_tried_inside_wrappers(found):
    assert "expected backward hooks that leave gradients" in found["hook"]
    for wrapper in ("DDP", "FSDP2, staying"):
        assert "constant in whose backward pass" in found[f"function, {wrapper}"]


def test_the_static_graph_s_remedy_works(found):
    for mode in BY_MODE[:3]:
        assert found[f"DDP, static · beside_the_wrapper · {mode}"] < LIMITS[mode]


def table(found):
    """Wrapper × mode, of the objective, and what the refusals say."""
    words, lines = (
        [],
        ["| wrapper | " + " | ".join(f"`{m}`" for m in BY_MODE) + " |", "|---" * 5 + "|"],
    )
    for wrapper in ranks.WRAPPERS:
        cells = []
        for mode in BY_MODE:
            name = f"{wrapper} · objective · {mode}"
            said = verdict(name, found[name])
            if said == "refused":
                if found[name] not in words:
                    words.append(found[name])
                said = f"refused ({words.index(found[name]) + 1})"
            cells.append(said)
        lines.append(f"| {wrapper} | " + " | ".join(cells) + " |")
    notes = [f"{i}. {text}" for i, text in enumerate(words, 1)]
    return "\n".join([*lines, "", *notes])


def test_the_table_says_what_happens(found):
    """To write it anew: the JSON of ranks.py through `table`."""
    page = PAGE.read_text(encoding="utf-8")
    (written,) = re.findall(r"<!-- ranks -->\n\n(.*?)\n\n<!-- end -->", page, flags=re.DOTALL)
    assert written == table(found)
