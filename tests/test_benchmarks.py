"""Tables of the docs are what the committed results say; the benchmarks run."""

import json
import os
import re
import runpy
import sys
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
BENCHMARKS = ROOT / "benchmarks"
needs_jax = pytest.mark.skipif(find_spec("jax") is None, reason="jax is not installed")
needs_torch = pytest.mark.skipif(find_spec("torch") is None, reason="torch is not installed")


@pytest.fixture
def scripts(monkeypatch):
    """Imports a script of benchmarks/ by name, and forgets it afterwards."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    before = set(sys.modules)
    yield import_module
    forget(before)


def forget(before):
    """The scripts that were imported since."""
    for name in {path.stem for path in BENCHMARKS.glob("*.py")} - before:
        sys.modules.pop(name, None)


@pytest.mark.skipif(find_spec("matplotlib") is None, reason="the report draws with matplotlib")
@pytest.mark.parametrize("mark", ["cost", "cost in JAX", "choices", "stacked", "policy"])
def test_the_page_is_the_results(scripts, mark):
    report = scripts("report")
    name, source, table = report.TABLES[mark]
    page = (ROOT / "docs" / name).read_text(encoding="utf-8")
    assert f"<!-- {mark} -->\n\n{table(report.results(source))}\n\n<!-- end -->" in page


MEASURED = re.compile(r"^  -     cost .*|takes `\d+`|\d+\.\d+|\d+e-\d+", re.MULTILINE)


@needs_torch
def test_the_page_has_the_reports_of_check_model(scripts, monkeypatch):
    """Without times, and without digits, which rounding changes on other machines."""
    from gradreg_torch.check import cost

    script = scripts("check_reports")
    monkeypatch.setattr(script, "STEPS", 1)  # timed, as these are
    monkeypatch.setattr(cost, "seconds", lambda steps, device: dict.fromkeys(steps, 1.0))
    page = script.BETWEEN.search(script.PAGE.read_text(encoding="utf-8"))[0]
    reports = page[page.index("\nLeNet") :], "\n".join(map(script.section, script.NETWORKS))
    written, found = (MEASURED.sub("", report).split() for report in reports)
    assert written == found, "python benchmarks/check_reports.py"


@needs_jax
@needs_torch
@pytest.mark.parametrize("name", ["MLP", "LeNet", "residual net", "vision transformer"])
def test_the_networks_of_jax_are_those_of_torch(scripts, name):
    import torch

    ours, theirs = (scripts(module).SUBJECTS[name] for module in ("jax_networks", "networks"))
    f, drawn = ours.make(10)
    model = theirs.make(10)
    params = [in_jax(key, p.detach().numpy()) for key, p in model.named_parameters()]
    if name == "LeNet":  # flattened with channels last
        W = params[4].reshape(50, 4, 4, 500).transpose(1, 2, 0, 3)
        params[4] = W.reshape(800, 500)
    assert [p.shape for p in drawn] == [p.shape for p in params]
    assert sum(p.size for p in drawn) == sum(p.numel() for p in model.parameters())
    x = torch.randn(4, *theirs.shape, generator=torch.Generator().manual_seed(0))
    channels_last = x.movedim(1, -1).numpy()
    assert (ours.shape, ours.batch) == (channels_last.shape[1:], theirs.batch)
    np.testing.assert_allclose(f(params, channels_last), model(x).detach().numpy(), atol=1e-5)


def in_jax(key, p):
    """Kernels (height, width, in, out), weights (in, out)."""
    if p.ndim == 4:
        return p.transpose(2, 3, 1, 0)
    return p.T if p.ndim == 2 and key != "places" else p


@pytest.fixture
def as_script(monkeypatch):
    """Runs a script of benchmarks/ with these words, as `python` does."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.delattr(os, "sched_setaffinity", raising=False)  # of this process, for ever
    before = set(sys.modules)

    def run(script, *words):
        path = str(BENCHMARKS / f"{script}.py")
        monkeypatch.setattr(sys, "argv", [path, *map(str, words)])
        runpy.run_path(path, run_name="__main__")

    yield run
    forget(before)


@needs_jax
def test_the_benchmark_of_jax_runs(tmp_path, as_script):
    out, only = tmp_path / "jax_cpu.json", "spectreg by hand"
    as_script("jax_step_cost", "--networks", "MLP", "--only", only, "--turns", "2", "--out", out)
    rows = json.loads(out.read_text())["rows"]
    assert [row["variant"] for row in rows] == ["plain", only, f"{only}, jvp"]
    assert rows[0]["ratio"] == 1
    assert all(row["ratio"] > 0 and row["memory_ratio"] > 0 for row in rows)


@needs_torch
def test_the_benchmark_of_stacked_seeds_runs(tmp_path, scripts, monkeypatch):
    pytest.importorskip("sklearn")
    out, script = tmp_path / "stacked.json", scripts("stacked_seeds")
    monkeypatch.setattr(script, "SEEDS", (1, 2, 3))
    monkeypatch.setattr(script, "ARMS", ("baseline", "SpectReg"))
    monkeypatch.setattr(sys, "argv", ["stacked_seeds.py", "--turns", "2", "--out", str(out)])
    script.main()
    rows = json.loads(out.read_text())["rows"]
    assert [(row["arm"], row["seeds"]) for row in rows] == [
        ("baseline", 2),
        ("baseline", 3),
        ("SpectReg", 2),
        ("SpectReg", 3),
    ]
    assert all(row["speed_up"] > 0 for row in rows)


@needs_torch
def test_the_benchmark_of_policies_runs(tmp_path, scripts, monkeypatch):
    out, script = tmp_path / "policy.json", scripts("policy")
    monkeypatch.setattr(script, "BATCH", 8)
    monkeypatch.setattr(sys, "argv", ["policy.py", "--turns", "2", "--out", str(out)])
    script.main()
    rows = json.loads(out.read_text())["rows"]
    assert [row["variant"] for row in rows] == ["plain", "one probe", "exact"] * 2
    assert all(row["ratio"] > 0 and row["memory_ratio"] > 0 for row in rows)


@needs_jax
def test_penalties_by_hand_descend_as_ours(scripts):
    import jax

    losses, subject = scripts("jax_losses"), scripts("jax_networks").SUBJECTS["LeNet"]
    f, params = subject.make(10)
    rng = np.random.default_rng(0)
    x, y = np.float32(rng.normal(size=(4, *subject.shape))), rng.integers(0, 10, 4)
    key = jax.random.key(0)
    for by_hand in (variant for variant in losses.LOSSES if "by hand" in variant):
        both = (losses.LOSSES[variant] for variant in (by_hand, by_hand.partition(" by hand")[0]))
        a, b = (jax.jit(jax.value_and_grad(partial(loss, f)))(params, x, y, key) for loss in both)
        jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-6), a, b)


@pytest.mark.parametrize(
    ("script", "words", "said"),
    [
        pytest.param("jax_step_cost", ["--device", "gpu:7"], "among cpu", marks=needs_jax),
        pytest.param("step_cost", ["--device", "cuda:99"], "among cpu", marks=needs_torch),
        pytest.param("step_cost", ["--turns", "1"], "--turns >= 2", marks=needs_torch),
        pytest.param("step_cost", ["--classes", "0"], "--classes >= 2", marks=needs_torch),
        pytest.param(
            "step_cost",
            ["--out", "{bad}"],
            "expected earlier results, or none, in",
            marks=needs_torch,
        ),
    ],
)
def test_what_cannot_be_measured_is_a_sentence(tmp_path, as_script, capsys, script, words, said):
    (tmp_path / "bad.json").write_text("no JSON", encoding="utf-8")
    with pytest.raises(SystemExit) as ended:
        as_script(script, *(word.format(bad=tmp_path / "bad.json") for word in words))
    assert ended.value.code == 2
    assert said in capsys.readouterr().err
