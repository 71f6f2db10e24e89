"""The toy problem is the one described, stacking changes nothing, results are whole or absent."""

import io
import json
from dataclasses import replace
from itertools import islice
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from gradreg_cli import main
from gradreg_experiments import terminal, verification
from gradreg_experiments.common import learning_rate
from gradreg_experiments.toy import problem, quickstart, table, training
from gradreg_experiments.toy.training import Sweep, sweep
from rich.console import Console

from gradreg_verify import BY_ID, Report, Result, files
from gradreg_verify.frameworks.registry import BackendUnavailable

FLOAT64 = {"dtype": torch.float64}


def test_the_data_are_sin_5x_with_noise_on_100_uniform_points():
    x, y = (torch.stack(a) for a in zip(*map(problem.training_data, range(50)), strict=True))
    assert x.shape == y.shape == (50, 100, 1)
    noise = y - torch.sin(5 * x)
    # 5,000 draws: standard errors 0.0014 (noise), 0.001 (its sd), 0.008 (x) and 0.004 (x²).
    assert abs(noise.mean()) < 0.006
    assert abs(noise.std() - 0.1) < 0.005
    assert abs(x.mean()) < 0.035
    assert abs(x.square().mean() - 1 / 3) < 0.018
    assert x.abs().max() <= 1


def test_the_grid_has_900_points_and_no_noise():
    x, y = problem.grid()
    assert x.shape == (900, 1)
    assert x.min() == -1
    assert x.max() == 1
    assert torch.equal(y, torch.sin(5 * x))


TARGETS = {
    "sin": lambda x: np.sin(5 * x[:, :1]),
    "square": lambda x: x[:, :1] ** 2,
    "radial": lambda x: (x**2).sum(axis=1, keepdims=True),
    "step": lambda x: np.heaviside(x[:, :1], 0),
}


@pytest.mark.parametrize("name", problem.PROBLEMS)
def test_the_other_functions_with_their_noise(name):
    task = problem.Task(name, 0.03)
    drawn = [problem.training_data(seed, task) for seed in range(50)]
    x, y = (torch.cat(a).numpy() for a in zip(*drawn, strict=True))
    assert x.shape == (5000, 2 if name == "radial" else 1)
    noise = y - TARGETS[name](x)
    assert abs(noise.std() - 0.03) < 0.0015  # five standard errors
    x, y = problem.grid(task)
    assert len(x) == 900
    np.testing.assert_allclose(y, TARGETS[name](x.numpy()), rtol=1e-12)
    setting = problem.Setting((1,), 2, task=task)
    assert sweep("SpectReg", (0.0, 0.1), setting).mse.shape == (1, 2)


def test_the_network_has_5_hidden_relu_layers_of_64_with_he_initialisation():
    layers = list(problem.network(seed=1))
    linear, relu = layers[::2], layers[1::2]
    assert [tuple(l.weight.shape) for l in linear] == [(64, 1), *[(64, 64)] * 4, (1, 64)]
    assert all(isinstance(l, torch.nn.ReLU) for l in relu)
    assert len(relu) == 5
    assert not any(l.bias.any() for l in linear)
    hidden = torch.cat([l.weight.flatten() for l in linear[1:-1]])
    assert abs(hidden.std() / (2 / 64) ** 0.5 - 1) < 0.025  # 16,384 weights: 4.5 standard errors


def test_every_seed_and_purpose_has_a_stream_of_its_own():
    seeds = {
        problem.generator(seed, p).initial_seed() for seed in range(9) for p in problem.PURPOSES
    }
    assert len(seeds) == 9 * 4


def test_the_global_generator_is_left_alone():
    before = torch.get_rng_state()
    sweep("SpectReg", (0.0, 0.1), problem.Setting((1,), 2))
    assert torch.equal(torch.get_rng_state(), before)


def test_an_epoch_is_two_batches_that_hold_every_point_once():
    epochs = torch.stack(list(islice(problem.batches(seed=3), 6))).reshape(3, 100)
    assert all(torch.equal(e.sort().values, torch.arange(100)) for e in epochs)
    assert not torch.equal(epochs[0], epochs[1])


def by_hand(penalty, lam, seed, iterations):
    """One network, one penalty, with no code of the product's."""
    net, (x, y) = problem.network(seed), problem.training_data(seed)
    optimiser = torch.optim.Adam(net.parameters(), lr=0.01)
    stream = zip(range(iterations), problem.batches(seed), problem.probes(seed), strict=False)
    for step, batch, r in stream:
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(0.01, step, iterations)
        inputs = x[batch].requires_grad_()
        g = net(inputs)
        (slope,) = torch.autograd.grad(g.sum(), inputs, create_graph=True)
        residual = g - y[batch]
        R = residual if penalty == "DoubleBack" else r
        loss = (residual**2).sum() / 2 + lam * ((R * slope) ** 2).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return torch.nn.utils.parameters_to_vector(net.parameters()).detach()


def trained(s, r):
    return torch.nn.utils.parameters_to_vector(s.model.network(r).parameters()).detach()


@pytest.mark.parametrize("penalty", ["SpectReg", "DoubleBack"])
def test_a_stacked_run_is_the_separate_runs(penalty):
    seeds, lams, iterations = (1, 4), (0, 0.1, 3), 8
    together = sweep(penalty, lams, problem.Setting(seeds, iterations, **FLOAT64))
    for s, seed in enumerate(seeds):
        for l, lam in enumerate(lams):
            mine = trained(together, s * len(lams) + l)
            torch.testing.assert_close(
                mine, by_hand(penalty, lam, seed, iterations), rtol=1e-9, atol=1e-12
            )
            alone = sweep(penalty, (lam,), problem.Setting((seed,), iterations, **FLOAT64))
            torch.testing.assert_close(mine, trained(alone, 0), rtol=1e-9, atol=1e-12)
            assert together.mse[s, l] == pytest.approx(alone.mse[0, 0], rel=1e-9)


def test_lambda_0_is_training_without_penalty_whatever_stands_beside_it():
    setting = problem.Setting((1,), 8, **FLOAT64)
    spectreg, doubleback = (
        sweep("SpectReg", (0, 10), setting),
        sweep("DoubleBack", (0, 30), setting),
    )
    for s in (spectreg, doubleback):
        torch.testing.assert_close(trained(s, 0), by_hand("", 0, 1, 8), rtol=1e-9, atol=1e-12)
        assert (trained(s, 1) - trained(s, 0)).abs().max() > 1e-3


def test_the_same_seeds_give_the_same_bits():
    first, second = (sweep("SpectReg", (0, 0.1), problem.Setting((1, 2), 5)) for _ in range(2))
    assert np.array_equal(first.mse, second.mse)


def test_the_error_is_the_mean_square_on_the_grid():
    s = sweep("SpectReg", (0, 0.1), problem.Setting((1, 2), 3, **FLOAT64))
    x, y = problem.grid()
    errors = [(s.model.network(r)(x) - y).square().mean().item() for r in range(4)]
    assert s.mse.ravel() == pytest.approx(errors, rel=1e-12)


def sweeps():
    setting, model = problem.Setting((1, 2), 4), None
    spectreg = np.array([[4e-3, 1e-3], [1e-3, 2e-3]])
    return [
        Sweep("SpectReg", (0, 0.01), setting, model, spectreg),
        Sweep("DoubleBack", (3,), setting, model, np.array([[1e-3], [0.5e-3]])),
    ]


def test_a_row_has_mean_deviation_and_the_ratio_of_each_seed_to_its_own_baseline():
    none, spectreg, doubleback = table.rows(sweeps())
    assert [none["penalty"], spectreg["penalty"], doubleback["penalty"]] == [
        "none",
        "SpectReg",
        "DoubleBack",
    ]
    assert (none["mse"], none["ratio"], none["poster"]) == (pytest.approx(250), 1, 16.6)
    assert spectreg["mse"] == pytest.approx(150)
    assert spectreg["mse_sd"] == pytest.approx(5000**0.5)
    assert spectreg["ratio"] == pytest.approx((0.25 + 2) / 2)  # not 150 / 250
    assert (spectreg["better"], spectreg["seeds"], spectreg["poster"]) == (1, 2, 2.3)
    assert doubleback["ratio"] == pytest.approx((0.25 + 0.5) / 2)
    assert (doubleback["better"], doubleback["poster"]) == (2, None)


def test_the_baseline_must_be_there():
    with pytest.raises(ValueError, match="begins with λ = 0"):
        table.rows(sweeps()[1:])


def printed(renderable):
    console = Console(file=io.StringIO(), width=80)
    console.print(renderable)
    return console.file.getvalue()


def test_the_table_shows_a_row_beside_the_posters_within_80_columns():
    lines = printed(table.table(table.rows(sweeps()), 100)).splitlines()
    rows = [line.split() for line in lines if line.startswith((" SpectReg ", " DoubleBack "))]
    spectreg = ["SpectReg", "0.01", "150.0", "70.7", "1.12", "1.24", "1/2", "2.3", "0.14"]
    assert rows == [spectreg, ["DoubleBack", "3", "75.0", "35.4", "0.38", "0.18", "2/2", "–", "–"]]
    assert not any("…" in line for line in lines)


def test_one_seed_has_no_deviation():
    row = table.row("SpectReg", 0.01, np.array([1e-3]), np.array([2e-3]))
    line = next(line for line in printed(table.table([row], 100)).splitlines() if "0.01" in line)
    assert line.split() == ["SpectReg", "0.01", "100.0", "–", "0.50", "–", "1/1", "2.3", "0.14"]


def test_the_csv_has_a_line_for_each_network():
    assert [",".join(map(str, line)) for line in table.runs(sweeps())] == [
        "penalty,lambda,seed,mse",
        "none,0,1,0.004",
        "none,0,2,0.001",
        "SpectReg,0.01,1,0.001",
        "SpectReg,0.01,2,0.002",
        "DoubleBack,3,1,0.001",
        "DoubleBack,3,2,0.0005",
    ]


def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "toy.csv"
    files.write_atomically(path, b"old")

    def interrupt(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(files.os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        files.write_atomically(path, b"new, and longer")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
    monkeypatch.undo()
    files.write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_without_a_terminal_progress_is_plain_lines_with_the_time_left(monkeypatch):
    clock = iter([0.0, 1.0, 20.0, 40.0])
    monkeypatch.setattr(terminal, "monotonic", lambda: next(clock))
    console = Console(file=io.StringIO(), width=80)
    with terminal.progress(console, "SpectReg", 40) as done:
        for step in (1, 20, 40):
            done(step)
    assert console.file.getvalue().splitlines() == [
        "SpectReg: 20 of 40, 20 s, 20 s left",
        "SpectReg: 40 of 40, 40 s, 0 s left",
    ]


def test_nothing_is_shown_of_no_steps():
    console = Console(file=io.StringIO(), width=80, force_terminal=True)
    with terminal.progress(console, "0 runs", 0) as done:
        done(0)
    assert console.file.getvalue() == ""


@pytest.fixture
def console():
    return Console(file=io.StringIO(), width=100)


def stub(monkeypatch, verdict):
    """Verification takes half a minute, and has tests of its own."""
    claim = replace(BY_ID["values-per-example"], sentence="JᵀR [is] contracted")
    result = Result(claim, verdict, "1e-16 [of] 1e-9", seconds=0.1)

    def verify(backend, *, device, progress):
        progress(result)
        return Report(backend.name, "all", "", "torch", device, (), 0, (result,))

    monkeypatch.setattr(verification, "verify", verify)


def request(out, recorded="", device="cpu", seeds=None, iterations=None):
    """The options of the command."""
    return SimpleNamespace(
        out=out, recorded=recorded, device=device, seeds=seeds, iterations=iterations
    )


def never(*_, **__):
    raise AssertionError("this must not run")


def test_quickstart_writes_table_figure_and_record(tmp_path, monkeypatch, console):
    stub(monkeypatch, "PASS")
    out = tmp_path / "new" / "folder"
    asked = request(out, recorded="gradreg quickstart --seeds 2", seeds=2, iterations=4)
    assert quickstart.run(asked, full=False, console=console) == 0
    assert {p.name for p in out.iterdir()} == {
        "toy.csv",
        "toy.json",
        "toy.png",
        "toy.svg",
    }
    assert len((out / "toy.csv").read_text().splitlines()) == 1 + 2 * (8 + 7)
    assert (out / "toy.png").read_bytes().startswith(b"\x89PNG")
    record = json.loads((out / "toy.json").read_text())
    assert record["command"] == "gradreg quickstart --seeds 2"
    assert record["seeds"] == [1, 2]
    assert record["verified"]
    assert record["versions"]["torch"] == torch.__version__
    assert str(tmp_path) not in (out / "toy.json").read_text()
    text = console.file.getvalue()
    assert "JᵀR [is] contracted" in text
    said = "4 iterations (the authors' scripts train for 10,000; use --full)"
    assert said in " ".join(text.split()), "the line is folded"


def test_quickstart_gives_the_same_bytes_again(tmp_path, monkeypatch, console):
    stub(monkeypatch, "PASS")
    for name in "ab":
        asked = request(tmp_path / name, seeds=1, iterations=4)
        assert quickstart.run(asked, full=False, console=console) == 0
    for file in ("toy.csv", "toy.png", "toy.svg"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_quickstart_does_not_train_where_a_claim_fails(tmp_path, monkeypatch, console):
    stub(monkeypatch, "FAIL")
    monkeypatch.setattr(quickstart, "sweep", never)
    assert quickstart.run(request(tmp_path), full=False, console=console) == 1
    assert "Not trained: claims failed on cpu, as shown above." in console.file.getvalue()
    assert list(tmp_path.iterdir()) == []


def test_full_is_the_papers_iterations_and_ten_seeds(tmp_path, monkeypatch, console):
    stub(monkeypatch, "PASS")
    settings = []

    def stop(_, __, setting, ___):
        settings.append(setting)
        raise KeyboardInterrupt

    monkeypatch.setattr(quickstart, "sweep", stop)
    with pytest.raises(KeyboardInterrupt):
        quickstart.run(request(tmp_path), full=True, console=console)
    assert settings == [problem.Setting(tuple(range(1, 11)), 10_000)]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("bad", "sentence"),
    [
        ({"seeds": 0}, "expected --seeds to be a whole number >= 1, got 0"),
        ({"iterations": -1}, "expected --iterations to be a whole number >= 1, got -1"),
        ({"out": "file"}, "file"),
        ({"out": "file/below"}, "file"),
    ],
)
def test_bad_input_gets_a_sentence(tmp_path, monkeypatch, console, bad, sentence):
    monkeypatch.setattr(verification, "verify", never)
    (tmp_path / "file").write_text("not a folder")
    asked = request(**bad | {"out": tmp_path / bad.get("out", "")})
    with pytest.raises((ValueError, OSError, BackendUnavailable), match=sentence):
        quickstart.run(asked, full=False, console=console)
    assert console.file.getvalue() == ""


@pytest.mark.parametrize("command", [["quickstart"], ["reproduce", "toy"]])
def test_a_device_that_is_not_there_gets_a_sentence(tmp_path, monkeypatch, capsys, command):
    monkeypatch.setattr(verification, "verify", never)
    assert main([*command, "--device", "abacus", "--out", str(tmp_path)]) == 2
    assert "expected a device of backend 'torch' with float64 among cpu" in capsys.readouterr().err


def test_the_penalties_of_the_sweeps_are_known():
    assert list(quickstart.SWEEPS) == list(training.PENALTIES)
    assert quickstart.SWEEPS["SpectReg"] == tuple(table.POSTER)
