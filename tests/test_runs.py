"""One training run: what is minimised, and that a killed, stacked or shared one is the same."""

import copy
import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import tomllib
import tracemalloc
from contextlib import suppress
from dataclasses import MISSING, fields, replace
from pathlib import Path
from types import SimpleNamespace

import gradreg_torch as gt
import pytest
import torch
from gradreg_experiments import files
from gradreg_experiments.common import learning_rate
from gradreg_experiments.runs import (
    Outcome,
    Run,
    from_toml,
    images,
    one,
    parallel,
    stopping,
    train,
    training,
    tune,
)
from gradreg_experiments.runs.checkpoint import Checkpoint
from gradreg_experiments.runs.draws import Batches, generator
from gradreg_experiments.runs.images import images_of
from gradreg_experiments.runs.stopping import of_processes
from gradreg_experiments.runs.store import Store, sum_of
from gradreg_experiments.runs.sweep import missing, sweep
from gradreg_experiments.runs.trainer import Trainer
from rich.console import Console
from torch.nn import functional as F

RUN = Run(data="digits", train=60, validation=20, network="lenet", seed=1, batch=12, iterations=20)


def double(runs):
    """Trainers compute in float32; in float64 rounding is out of the way."""
    trainer = Trainer(runs, [images_of(run, None) for run in runs])
    trainer.model.double()
    draws = trainer.draws
    draws.x, draws.u = ([a.double() for a in part] for part in (draws.x, draws.u))
    drawn = draws.probes
    draws.probes = lambda t: None if (r := drawn(t)) is None else r.double()
    return trainer


def jacobians(f, x):
    """J (n, k, i), example by example."""
    rows = [torch.func.jacrev(lambda a: f(a[None])[0])(a).flatten(1) for a in x]
    return torch.stack(rows)


@pytest.mark.parametrize("law", ["scripts", "he"])
def test_the_weights_at_the_start_are_of_the_law_that_the_run_names(law):
    run = replace(RUN, initialisation=law)
    filters = Trainer([run], [images_of(run, None)]).model[6].weight
    assert (filters.var().item() > 3e-3) == (law == "he")  # 2 / 400, or 4 / 3400


PENALISED = {
    "spectreg": lambda J, z, y, r: (J.mT @ r).square().sum((1, 2)),
    "doubleback": lambda J, z, y, r: (
        (J.mT @ (z.softmax(1) - F.one_hot(y, 10))[:, :, None]).square().sum((1, 2))
    ),
    "onehot": lambda J, z, y, r: J[torch.arange(len(y)), y].square().sum(1),
    "frobreg": lambda J, z, y, r: J.square().sum((1, 2)),
}


@pytest.mark.parametrize("penalty", PENALISED)
def test_a_run_minimises_what_its_description_says(penalty):
    run = replace(RUN, penalty=penalty, lam=0.3, confidence=0.2)
    trainer = double([run])
    x, y = trainer.draws.batch(4)
    r = trainer.draws.probes(4)
    z = trainer.model(x)
    p = z.softmax(1)
    values = PENALISED[penalty](jacobians(trainer.model, x), z, y[0], r)
    entropy = (p * p.log()).sum(1).mean()
    expected = F.cross_entropy(z, y[0]) + 0.3 * values.mean() + 0.2 * entropy
    torch.testing.assert_close(trainer.objective(x, y, r), expected, rtol=1e-10, atol=0)


def test_with_unlabelled_images_the_penalty_is_the_mean_over_both():
    run = replace(RUN, penalty="spectreg", lam=0.3, unlabelled=40)
    trainer = double([run])
    x, y = trainer.draws.batch(0)
    r = trainer.draws.probes(0)
    assert len(x) == 24
    assert y.shape == (1, 12)
    values = PENALISED["spectreg"](jacobians(trainer.model, x), None, None, r)
    expected = F.cross_entropy(trainer.model(x[:12]), y[0]) + 0.3 * values.mean()
    torch.testing.assert_close(trainer.objective(x, y, r), expected, rtol=1e-10, atol=0)


def test_weight_decay_is_of_matrices_and_filters_alone():
    plain, decayed = (
        double([replace(RUN, optimiser="nesterov", weight_decay=wd)]) for wd in (0.0, 0.01)
    )
    before = [p.detach().clone() for p in plain.model.parameters()]
    for trainer in (plain, decayed):
        trainer.step(0)
    pairs = zip(before, plain.model.parameters(), decayed.model.parameters(), strict=True)
    for start, p, q in pairs:
        # Nesterov's first step is (1 + 0.9) times the gradient.
        expected = 1e-3 * 1.9 * 0.01 * start if p.ndim > 1 else torch.zeros_like(p)
        torch.testing.assert_close(p - q, expected, rtol=1e-9, atol=1e-15)


def test_learning_rate_drops_at_a_half_and_three_quarters():
    rates = [learning_rate(1e-3, t, 20) for t in range(20)]
    assert rates == pytest.approx([1e-3] * 10 + [1e-4] * 5 + [1e-5] * 5)


def test_an_epoch_has_every_row_once():
    batches = Batches(3, "batches", 60, 12)
    rows = torch.cat([batches[t] for t in range(5)])
    assert rows.sort().values.equal(torch.arange(60))
    assert not rows.equal(torch.cat([batches[t] for t in range(5, 10)]))
    assert batches[2].equal(Batches(3, "batches", 60, 12)[2])


def test_streams_differ_by_seed_purpose_and_step():
    draws = {
        torch.rand(1, generator=generator(seed, purpose, step)).item()
        for seed in (0, 1)
        for purpose in ("dropout", "probes")
        for step in (0, 1)
    }
    assert len(draws) == 8


STACKED = {
    "plain": {},
    "spectreg and dropout": {"penalty": "spectreg", "lam": 0.1, "dropout": True},
    "batch norm": {"penalty": "spectreg", "lam": 0.1, "batch_norm": True, "weight_decay": 1e-3},
    "unlabelled": {"penalty": "spectreg", "lam": 0.1, "unlabelled": 40, "dropout": True},
    "doubleback": {"penalty": "doubleback", "lam": 0.1, "confidence": 0.1},
    "jacreg": {"penalty": "jacreg", "lam": 0.1, "options": {"num_probes": 1}},
    "running statistics": {
        "penalty": "frobreg",
        "lam": 0.1,
        "batch_norm": True,
        "options": {"batchnorm": "eval"},
    },
}


@pytest.mark.parametrize("name", STACKED)
def test_stacked_seeds_are_separate_runs(name):
    runs = [replace(RUN, seed=seed, **STACKED[name]) for seed in (1, 2, 3)]
    together, alone = double(runs), [double([run]) for run in runs]
    for t in range(4):
        for trainer in (together, *alone):
            trainer.step(t)
    for r, trainer in enumerate(alone):
        ours, theirs = (
            dict(n.named_parameters()) | dict(n.named_buffers())
            for n in (together.network(r), trainer.network(0))
        )
        assert list(ours) == list(theirs)
        for key, value in ours.items():
            # Adam moves where the gradient is 0 but for rounding, 1e-16, by 1e-3 · 1e-16 / 1e-8 a
            # step; another batch, mask or probe would move it by 1e-3.
            torch.testing.assert_close(value, theirs[key], rtol=1e-9, atol=1e-9)


CHILD = """
import os, sys
from pathlib import Path
import sklearn.datasets, torch._dynamo  # what training imports, once for all runs
from gradreg_experiments.runs import from_toml, train, training
training.CHECKPOINT_EVERY_S, training.LOOK_EVERY = 0.0, 7
for folder in map(Path, sys.argv[1:]):
    pid = os.fork()
    if pid == 0:
        train([from_toml(folder / "run.toml")], None, folder / "checkpoint")
        os._exit(0)
    print(pid, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


def test_a_killed_run_goes_on_bit_for_bit(tmp_path):
    every = replace(RUN, penalty="spectreg", lam=0.1, weight_decay=1e-3, iterations=60)
    runs = {
        tmp_path / "a": replace(every, dropout=True, options={"every": 2}),
        tmp_path / "b": replace(every, options={"every": 2, "fraction": 0.5}),
    }
    for folder, run in runs.items():
        folder.mkdir()
        (folder / "run.toml").write_text(as_toml(run), encoding="utf-8")
        assert from_toml(folder / "run.toml") == run
    command = [sys.executable, "-c", CHILD, *map(str, runs)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        for folder in runs:
            pid, end = int(child.stdout.readline()), time.monotonic() + 120
            while not (folder / "checkpoint").exists() and time.monotonic() < end:
                time.sleep(0.005)
            os.kill(pid, signal.SIGKILL)
            ended = int(child.stdout.readline())
            assert ended == -signal.SIGKILL, "it ended before it could be killed"
    for folder, run in runs.items():
        checkpoint = folder / "checkpoint"
        step = Checkpoint(checkpoint, training.checkpoint_key([run], None)).load("cpu")["step"]
        assert 0 < step < run.iterations
        assert goes_on(run, checkpoint) == step + 1


def as_toml(run):
    """The file of a run."""
    chosen = dict(run.chosen)
    options = chosen.pop("options", {})
    lines = [f"{k} = {json.dumps(v)}" for k, v in chosen.items()]
    lines += ["[options]", *(f"{k} = {json.dumps(v)}" for k, v in options.items())]
    return "\n".join(lines)


def goes_on(run, checkpoint):
    """The first step from a checkpoint; the result is that of a run that nothing stopped."""
    counted = []
    (resumed,), (network,) = train([run], None, checkpoint, counted.append)
    (whole,), (other,) = train([run])
    assert replace(resumed, seconds=0) == replace(whole, seconds=0)
    for a, b in zip(network.parameters(), other.parameters(), strict=True):
        assert a.equal(b)
    return counted[0]


def test_what_is_left_is_to_look_at_the_images(tmp_path, monkeypatch):
    """A run that is stopped then is not trained again."""
    checkpoint = tmp_path / "run.checkpoint"
    monkeypatch.setattr(training, "outcome", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        train([RUN], None, checkpoint)
    monkeypatch.undo()
    counted = []
    (resumed,), _ = train([RUN], None, checkpoint, counted.append)
    (whole,), _ = train([RUN])
    assert not counted
    assert replace(resumed, seconds=0) == replace(whole, seconds=0)


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"", "expected a checkpoint"), (b"PK\x03\x04 half", "expected a checkpoint")],
)
def test_a_damaged_checkpoint_is_named(tmp_path, content, said):
    path = tmp_path / "x.checkpoint"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=said) as caught:
        train([RUN], None, path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("name", ["run", "set of images", "version of torch"])
def test_a_checkpoint_of_another_run_is_refused(tmp_path, name):
    key = training.checkpoint_key([RUN], None)
    Checkpoint(tmp_path / "c", key | {name: "another"}).save(3, 0.0, {})
    with pytest.raises(ValueError, match=f"got one of another {name}; delete it to begin anew"):
        train([RUN], None, tmp_path / "c")


def test_a_checkpoint_begun_on_other_images_is_refused(tmp_path, monkeypatch):
    """Of the same name: a folder of data may have changed, or be another one."""
    key = training.checkpoint_key([RUN], None)
    data = images.read("digits", None)
    labels = data.train_labels.copy()
    labels[:2] = labels[1::-1]
    monkeypatch.setattr(images, "read", lambda name, folder: replace(data, train_labels=labels))
    images.fingerprint.cache_clear()
    try:
        Checkpoint(tmp_path / "c", key).save(3, 0.0, {})
        with pytest.raises(ValueError, match="another set of images"):
            train([RUN], None, tmp_path / "c")
    finally:
        images.fingerprint.cache_clear()


def test_a_checkpoint_without_all_it_needs_is_refused(tmp_path):
    Checkpoint(tmp_path / "c", training.checkpoint_key([RUN], None)).save(3, 0.0, {"model": {}})
    with pytest.raises(ValueError, match=r"got one without lost, optimiser, scaler; delete it"):
        train([RUN], None, tmp_path / "c")


def with_change(place, value):
    """A change of the entry of a state at a place; the key itself goes where the value is GONE."""

    def change(state):
        *path, last = place
        for key in path:
            state = state[key]
        if value is GONE:
            del state[last]
        else:
            state[last] = value(state[last]) if callable(value) else value

    return change


GONE = object()


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        (("lost",), 3, "lost"),
        (("lost",), {0: "x"}, "lost.0 of type str"),
        (("step",), "3", "step of type str"),
        (("seconds",), None, "seconds of type NoneType"),
        (("model", "0.weight"), GONE, "other keys of model"),
        (("model", "0.weight"), lambda W: W[:0], r"model.0.weight of \(\(0, "),
        (("model", "0.weight"), torch.Tensor.double, "model.0.weight of .*float64"),
        (("model", "0.bias"), torch.Tensor.to_sparse, "model.0.bias of .*sparse_coo"),
        (("optimiser", "state", 0, "exp_avg"), GONE, "other keys of optimiser.state.0"),
        (("optimiser", "state", 0, "step"), torch.zeros(3), "optimiser.state.0.step of"),
        (("optimiser", "param_groups", 0, "amsgrad"), True, "amsgrad = True"),
        (("optimiser", "param_groups"), lambda groups: groups[:1], "1 entries of"),
        (("optimiser", "param_groups", 0, "betas"), GONE, "other keys of"),
    ],
)
def test_a_checkpoint_of_another_form_is_refused(tmp_path, place, value, said):
    """Its sum fits. torch would raise any kind of error, or end the process in its first step."""
    file = Checkpoint(tmp_path / "c", training.checkpoint_key([RUN], None))
    trainer = Trainer([RUN], [images_of(RUN, None)])
    trainer.step(0)
    state = copy.deepcopy(trainer.state()) | {"lost": {}, "step": 1, "seconds": 0.0}
    with_change(place, value)(state)
    file.save(state.pop("step"), state.pop("seconds"), state)
    sentence = f"expected a checkpoint of this run in {file.path}, got .*{said}.*; delete it to"
    with pytest.raises(ValueError, match=sentence):
        train([RUN], None, file.path)


def test_a_checkpoint_of_every_optimiser_has_its_form(tmp_path):
    for changes in ({}, {"optimiser": "nesterov", "weight_decay": 0.1}):
        run = replace(RUN, **changes)
        trainer = Trainer([run], [images_of(run, None)])
        before = copy.deepcopy(trainer.state())
        trainer.form()
        torch.testing.assert_close(trainer.state(), before, rtol=0, atol=0)
        trainer.step(0)
        file = Checkpoint(tmp_path / "c", training.checkpoint_key([run], None))
        file.save(1, 0.0, trainer.state() | {"lost": {0: 1}})
        assert file.load("cpu", Trainer([run], [images_of(run, None)]).form)["step"] == 1


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")])
def test_what_is_no_file_is_no_checkpoint_and_no_weights(tmp_path, make):
    """A pipe would be waited for without end, and a device fills the memory."""
    store = Store(tmp_path)
    (outcome,), (network,) = train([RUN])
    store.keep(outcome, network)
    store.weights(RUN).unlink()
    for path in (store.checkpoint([RUN]), store.weights(RUN)):
        make(path)
    with pytest.raises(ValueError, match=r"expected a checkpoint of this run .* no regular file"):
        train([RUN], None, store.checkpoint([RUN]))
    assert "no regular file; delete it" in store.lost(RUN)


def test_a_large_file_that_is_not_ours_is_not_taken_into_memory(tmp_path):
    """The file has no blocks on the disk."""
    store = Store(tmp_path)
    (outcome,), (network,) = train([RUN])
    store.keep(outcome, network)
    checkpoint = Checkpoint(tmp_path / "c", training.checkpoint_key([RUN], None))
    for path in (checkpoint.path, store.weights(RUN)):
        path.touch()
        os.truncate(path, 64 << 20)
        tracemalloc.start()
        try:
            if path == checkpoint.path:
                with pytest.raises(ValueError, match="got a damaged one"):
                    checkpoint.load("cpu")
            else:
                assert "weights that do not belong to" in store.lost(RUN)
            assert tracemalloc.get_traced_memory()[1] < 16 << 20
        finally:
            tracemalloc.stop()


def request(store, seeds=None, jobs=1):
    """The options of ``gradreg train``."""
    return SimpleNamespace(
        seeds=seeds, jobs=jobs, stack_seeds=False, out=store.folder, data=store.data
    )


def flipped(path, place):
    """One bit of a file is another."""
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("place", [0, 40, 5000, -1])
def test_a_flipped_bit_of_a_checkpoint_is_noticed(tmp_path, place):
    """A wrong bit of a parameter would be trained on."""
    file = Checkpoint(tmp_path / "c", training.checkpoint_key([RUN], None))
    trainer = Trainer([RUN], [images_of(RUN, None)])
    trainer.step(0)
    file.save(20, 0.0, trainer.state() | {"lost": {}})
    train([RUN], None, file.path)
    flipped(file.path, place)
    with pytest.raises(ValueError, match=f"in {file.path}, got a damaged one"):
        train([RUN], None, file.path)


def test_a_loss_that_is_not_finite_ends_the_run():
    (outcome,), _ = train([replace(RUN, learning_rate=1e30, optimiser="nesterov")])
    assert outcome.diverged == 20
    assert outcome.test < 0.2


def test_nan_logits_are_never_right():
    z = torch.tensor([[float("nan")] * 3, [0.0, 1.0, 2.0]])
    assert training.place(z, torch.tensor([0, 2])).tolist() == [2, 0]


def test_results_are_kept_and_found(tmp_path):
    store, other = Store(tmp_path), replace(RUN, seed=2)
    short = replace(RUN, iterations=2, validation=0)
    outcomes, networks = train([short])
    store.keep(outcomes[0], networks[0])
    found = store.find(short)
    assert found.validation != found.validation  # nan
    assert replace(found, validation=0) == replace(outcomes[0], validation=0)
    assert missing([(short,), (other, short), (other,)], store) == [(other,)]
    changed(store, short, lambda record: record.update(images="others"))
    assert store.find(short) is None
    (tmp_path / f"{short.id}.json").write_text("{", encoding="utf-8")
    with pytest.raises(ValueError, match="delete it"):
        store.find(short)


@pytest.fixture
def kept(tmp_path):
    """A result in a store."""
    short, store = replace(RUN, iterations=2), Store(tmp_path)
    outcomes, networks = train([short])
    store.keep(outcomes[0], networks[0])
    return short, store, networks[0]


def changed(store, run, change):
    """The record of a run, with another sum."""
    record = json.loads(store.result(run).read_text(encoding="utf-8"))
    change(record)
    text = json.dumps(record | {"sum": sum_of(record)})
    store.result(run).write_text(text, encoding="utf-8")


def test_a_flipped_bit_of_weights_is_noticed(kept):
    run, store, network = kept
    for name, value in store.state(run).items():
        assert value.equal(network.state_dict()[name])
    flipped(store.weights(run), store.weights(run).read_bytes().index(b"data/0") + 100)
    torch.load(store.weights(run), weights_only=True)  # torch does not mind
    with pytest.raises(ValueError, match=r"expected the weights of a run in .*delete it, and its"):
        store.state(run)


def test_a_changed_byte_of_a_result_is_noticed(kept):
    """A digit of an accuracy, a letter of a key, a bracket: whatever it is."""
    run, store, _ = kept
    path = store.result(run)
    content = path.read_bytes()
    places = [p for p in range(0, len(content), 7) if not content[p : p + 1].isspace()]
    assert len(places) > 50
    for place in places:
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(ValueError, match="delete it to run it again") as caught:
            store.find(run)
        assert str(path) in str(caught.value)
    path.write_bytes(content)
    assert store.find(run) is not None


FOREIGN = {
    "without a sum": lambda text: re.sub(r',\s*"sum": "\w+"', "", text),
    "a list": lambda text: "[1]",
    "nested for ever": lambda text: "[" * 100_000,
    "nothing": lambda text: "",
    "a number beyond any": lambda text: text.replace('"seconds": ', '"seconds": 1e999'),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_a_result_that_is_not_ours_is_named(kept, name):
    run, store, _ = kept
    text = store.result(run).read_text(encoding="utf-8")
    store.result(run).write_text(FOREIGN[name](text), encoding="utf-8")
    with pytest.raises(ValueError, match=f"expected the result of a run in {store.result(run)}"):
        store.find(run)


def test_the_result_of_another_run_is_named(kept):
    run, store, _ = kept
    changed(store, run, lambda record: record["outcome"]["run"].update(seed=2))
    with pytest.raises(ValueError, match="the result of another run"):
        store.find(run)


@pytest.mark.parametrize("value", [[1], "0.5", {}, True])
@pytest.mark.parametrize("name", ["test", "seconds", "stacked", "diverged"])
def test_a_figure_that_is_no_number_is_named(kept, name, value):
    """The sum fits; what prints the figure would raise an error of its own."""
    run, store, _ = kept
    changed(store, run, lambda record: record["outcome"].update({name: value}))
    with pytest.raises(ValueError, match=f"got: {name} = .*, which is no number; delete it to"):
        store.find(run)


def test_a_run_that_diverged_is_kept_and_found(tmp_path):
    run, store = replace(RUN, learning_rate=1e30, optimiser="nesterov"), Store(tmp_path)
    outcomes, networks = train([run])
    store.keep(outcomes[0], networks[0])
    found = store.find(run)
    assert (found.diverged, found.test) == (20, outcomes[0].test)
    assert found.loss != found.loss


PARENT = """
import multiprocessing, signal, sys
from dataclasses import replace
from pathlib import Path
from gradreg_experiments.runs import Run
from gradreg_experiments.runs.stopping import of_processes
from gradreg_experiments.runs.store import Store, sum_of
from gradreg_experiments.runs.sweep import sweep

def say(done):
    if done > 2 and list(Path(sys.argv[1]).glob("*.json")):  # one has ended, and one has not
        print(len(multiprocessing.active_children()), flush=True)

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    run = Run(data="digits", train=60, network="lenet", seed=1, batch=12, iterations=10**9)
    short = replace(run, iterations=2)
    sweep([(run,), (short,)], Store(Path(sys.argv[1])), 2, say)
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_workers_end_with_their_parent(tmp_path, how):
    """One that trains, and leaves a checkpoint, and one that waits; only the parent is told."""
    script = tmp_path / "parent.py"
    script.write_text(PARENT, encoding="utf-8")
    with subprocess.Popen(
        [sys.executable, str(script), str(tmp_path / "runs")],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as parent:
        try:
            assert parent.stdout.readline() == b"2\n"
            parent.send_signal(how)
            # The end of what they print, too: of all that have the pipe.
            parent.communicate(timeout=30)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(parent.pid, signal.SIGKILL)
    assert parent.returncode != 0
    assert list((tmp_path / "runs").glob("*.checkpoint"))


STOPPED = """
import signal, sys
from gradreg_cli import main
from gradreg_experiments.runs import one, sweep, training
from gradreg_experiments.runs.trainer import Trainer
signal.signal(signal.SIGINT, signal.default_int_handler)
one.verified_before = lambda device, console: True
step = Trainer.step
def said(trainer, t):
    if t == 5:
        print("begun", flush=True)
    return step(trainer, t)
Trainer.step = said
_, file, *folders = sys.argv
for out in folders:
    sys.argv = ["gradreg", "train", file, "--out", out]
    print("status", main(), flush=True)
"""


def test_a_signal_leaves_a_checkpoint_and_says_how_to_go_on(tmp_path):
    """At once: the minute of `CHECKPOINT_EVERY_S` is not waited for."""
    run = replace(RUN, iterations=60, penalty="spectreg", lam=0.1)
    file, signals = tmp_path / "run.toml", (signal.SIGINT, signal.SIGTERM)
    file.write_text(as_toml(run), encoding="utf-8")
    folders = [tmp_path / how.name for how in signals]
    command = [sys.executable, "-c", STOPPED, str(file), *map(str, folders)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as child:
        for how in signals:
            while child.stdout.readline() != "begun\n":
                assert child.poll() is None
            child.send_signal(how)
            assert child.stdout.readline() == "status 2\n"
        _, said = child.communicate(timeout=60)
    for folder, line in zip(folders, said.splitlines(), strict=True):
        assert re.fullmatch(
            r"gradreg train: stopped after step \d+ of 60, with a checkpoint; to go on: "
            rf"gradreg train {file} --out {folder}",
            line,
        )
        assert goes_on(run, Store(folder).checkpoint([run])) > 5


HOLDER = """
import sys
from pathlib import Path
from gradreg_experiments.files import held
with held(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_folder_is_one_process_s(tmp_path):
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout.readline() == b"held\n"
        used = pytest.raises(ValueError, match=f"in use by process {child.pid} ")
        with used as caught, files.held(tmp_path):
            pass
        assert "give another --out" in str(caught.value)
        child.kill()
        child.wait()
    with files.held(tmp_path):  # a lock of one that was killed is free
        pass


@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir, lambda path: path.symlink_to("/dev/full")])
def test_a_lock_that_is_no_file_is_named(tmp_path, make):
    make(lock := tmp_path / ".lock")
    said = f"expected {lock} to be a file, got a folder or a device; delete it"
    with pytest.raises(ValueError, match=said), files.held(tmp_path):
        pass


WRITABLE = """
import sys
from pathlib import Path
from gradreg_experiments.files import require_writable
for _ in range(300):
    require_writable(Path(sys.argv[1]))
"""


def test_two_processes_may_ask_for_the_same_folder(tmp_path):
    command = [sys.executable, "-c", WRITABLE, str(tmp_path / "out")]
    children = [subprocess.Popen(command, stderr=subprocess.PIPE) for _ in range(2)]
    assert [child.communicate()[1] for child in children] == [b""] * 2
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="/dev/full is a device of Linux")
def test_a_full_disk_is_named(tmp_path):
    path = tmp_path / "x.json"
    (tmp_path / f".x.json.{os.getpid()}.part").symlink_to("/dev/full")
    with pytest.raises(OSError, match=f"No space left on device: '{path}'"):
        files.write_atomically(path, b"{}")


def test_a_sweep_goes_on_past_a_run_that_cannot_be_made(tmp_path):
    store, short = Store(tmp_path / "runs"), replace(RUN, iterations=2)
    bad = replace(short, train=5000)
    failed = sweep([(bad,), (short,)], store)
    assert len(failed) == 1
    assert "expected at most 1297 images" in failed[0]
    assert store.find(short) is not None
    assert missing([(bad,), (short,)], store) == [(bad,)]
    store.weights(short).unlink()
    assert missing([(short,)], store) == []
    assert missing([(short,)], store, weights=True) == [(short,)]


class Killed(Store):
    """A process that receives it is killed."""

    def __reduce__(self):
        return signal.raise_signal, (signal.SIGKILL,)


def test_runs_that_wait_while_a_sweep_is_stopped_leave_no_traceback(tmp_path, monkeypatch):
    """A thread of the pool had one: it told the cancelled runs that their worker had ended."""
    raised = []
    monkeypatch.setattr(threading, "excepthook", raised.append)
    runs = [replace(RUN, seed=seed, iterations=10**9) for seed in range(5)]

    def stop(steps):
        if steps:
            stopping.asked.set()

    with pytest.raises(stopping.Stopped, match="with a checkpoint of every run"):
        sweep([(run,) for run in runs], Store(tmp_path), 1, stop)
    assert not raised
    assert len(list(tmp_path.glob("*.checkpoint"))) == 1


def test_a_killed_process_is_said_to_be_killed(tmp_path, monkeypatch):
    """Also where the thread that gets the exit code is slow: nobody else gets the code."""
    waitpid = os.waitpid

    def late(pid, options):
        ended = waitpid(pid, options)
        time.sleep(0.3 * (ended[0] != 0))
        return ended

    monkeypatch.setattr(os, "waitpid", late)
    runs = [(replace(RUN, seed=seed),) for seed in (1, 2)]
    first, second = sweep(runs, Killed(tmp_path))
    assert "seed 1: a process was killed by SIGKILL (out of memory?); run the comm" in first
    assert "seed 2: a process was killed" in second


FROM_STDIN = """
import sys
from pathlib import Path
from gradreg_experiments.runs import Run
from gradreg_experiments.runs.store import Store
from gradreg_experiments.runs.sweep import sweep
run = Run(data="digits", train=60, network="lenet", seed=1, batch=12, iterations=2)
print(*sweep([(run,)], Store(Path(sys.argv[1]))))
"""


def test_a_process_that_cannot_start_is_not_said_to_be_killed(tmp_path):
    """Of a program on standard input: the process looks for a file of the program, and exits."""
    command = [sys.executable, "-", str(tmp_path)]
    done = subprocess.run(command, input=FROM_STDIN, capture_output=True, text=True, timeout=120)
    said = done.stdout
    assert "seed 1: a process ended with exit code 1 before the run was done" in said
    assert "put the program into a file" in said
    assert "killed" not in said


@pytest.mark.parametrize(
    ("codes", "said"),
    [
        ([-signal.SIGTERM, -signal.SIGSEGV], "was ended by SIGSEGV"),
        ([None, 0, -signal.SIGTERM], "for a reason that is not known"),
        ([-signal.SIGKILL, 3], "exit code 3"),
        ([-200], "was ended by signal 200"),
    ],
)
def test_what_is_known_of_a_process_is_said(codes, said):
    assert said in of_processes([SimpleNamespace(exitcode=code) for code in codes])


LAUNCHED = """
import sys, torch
from pathlib import Path
from types import SimpleNamespace
from gradreg_experiments.runs import Run, one, parallel, train
from gradreg_experiments.runs.store import Store

asked = {"seeds": None, "jobs": 1, "stack_seeds": False, "data": None}
one.verified_before = lambda device, console: False
run, out = Run(**RUN), Path(sys.argv[1])
with parallel.processes("cpu"):
    status = one.run_all(run, SimpleNamespace(out=out / "failed", **asked))
    sys.stdout.write(f"status {status}\\n")  # in one piece: two processes write
    (outcome,), (network,) = train([run])
    if parallel.first():
        torch.save(network.state_dict(), out / "w")
        Store(out).keep(outcome, network)
"""


def test_two_processes_train_the_network_of_one(tmp_path):
    """And a claim that fails ends both, where the first alone checks claims: the other would wait
    for half an hour.
    """
    run = replace(
        RUN, dropout=True, penalty="spectreg", lam=0.1, unlabelled=40, optimiser="nesterov"
    )
    script = tmp_path / "child.py"
    script.write_text(LAUNCHED.replace("**RUN", f"**{run.chosen!r}"), encoding="utf-8")
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [sys.executable, *launch, str(script), str(tmp_path)],
        timeout=300,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("status 1") == 2
    ours = torch.load(tmp_path / "w", weights_only=True)
    _, (network,) = train([run])
    for name, value in network.named_parameters():
        # 20 steps of float32: rounding, where another batch or probe would be off by 1e-3.
        torch.testing.assert_close(ours[name], value, rtol=1e-4, atol=1e-6)
    record = json.loads((tmp_path / f"{run.id}.json").read_text(encoding="utf-8"))
    assert record["processes"] == 2


def test_without_validation_images_no_accuracy_on_them_is_printed(kept, monkeypatch, capsys):
    run, store, network = kept
    monkeypatch.setattr(one, "verified_before", lambda device, console: True)
    assert one.run_all(run, request(store)) == 0
    assert "%, validation " in capsys.readouterr().out
    without = replace(run, validation=0)
    store.keep(replace(store.find(run), run=without, validation=float("nan")), network)
    assert one.run_all(without, request(store)) == 0
    out = capsys.readouterr().out
    assert "seed 1: test " in out
    assert " validation " not in out


@pytest.mark.parametrize("content", [None, b""])
def test_weights_that_are_lost_are_named(kept, monkeypatch, capsys, content):
    run, store, _ = kept
    monkeypatch.setattr(one, "verified_before", lambda device, console: True)
    if content is None:
        store.weights(run).unlink()
    else:
        store.weights(run).write_bytes(content)
    assert one.run_all(run, request(store)) == 2
    assert f"expected the weights of a run in {store.weights(run)}" in capsys.readouterr().out


def test_a_run_that_diverged_is_named(tmp_path, monkeypatch, capsys):
    run = replace(RUN, learning_rate=1e30, optimiser="nesterov")
    monkeypatch.setattr(one, "verified_before", lambda device, console: True)
    assert one.run_all(run, request(Store(tmp_path))) == 2
    assert "its loss is not finite at step 20" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["seeds", "jobs"])
def test_a_number_of_seeds_that_fills_the_memory_is_refused(tmp_path, name):
    with pytest.raises(ValueError, match=f"expected --{name} of at most 1000, got {10**12}"):
        one.run_all(RUN, request(Store(tmp_path), **{name: 10**12}))


def test_a_file_that_begins_with_a_byte_order_mark_is_read(tmp_path):
    path = tmp_path / "run.toml"
    path.write_text(WHOLE, encoding="utf-8-sig")
    assert from_toml(path).train == 60


def test_a_file_that_is_not_there_is_said_before_torch_is_imported(tmp_path):
    script = (
        "import sys\nfrom gradreg_cli import train\nfrom pathlib import Path\n"
        "from types import SimpleNamespace\n"
        "try:\n    train.run(SimpleNamespace(file=Path('nope.toml')))\n"
        "except ValueError as error:\n    print(error, 'torch' in sys.modules)\n"
    )
    said = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True)
    expected = b"expected a run in TOML in nope.toml, got: no such file or directory False\n"
    assert said.stdout == expected


def test_no_lam_is_twice_in_a_grid():
    assert tune.grid(1, 1.01, 4) == (0.0, 1.0)
    assert tune.grid(1, 1.03, 4) == (0.0, 1.0)
    assert tune.grid(0.01, 1, 3) == (0.0, 0.01, 0.1, 1.0)


@pytest.mark.parametrize("asked", [(1, 1.8e308, 2), (0, 1, 3), (1, 10, 1), (1, 10, 10**11)])
def test_a_grid_that_cannot_be_is_refused(asked):
    with pytest.raises(ValueError, match=r"expected (0 < --from|2 to 1000 points)"):
        tune.grid(*asked)


TUNED = replace(RUN, penalty="spectreg", validation=20)


def at(lam, seed, validation):
    """What came of one λ and seed: the better in validation, the worse in the test."""
    run = replace(TUNED, lam=lam, seed=seed)
    return Outcome(run, 1.0, validation, 1 - validation, 1.0, 0.1, 1.0)


def test_lam_is_chosen_by_validation_images_alone():
    points = [tune.Point(lam, (at(lam, 1, value),)) for lam, value in ((0.0, 0.6), (0.1, 0.8))]
    assert tune.best(points).lam == 0.1


@pytest.mark.parametrize(
    ("best", "said"),
    [
        (0.0, "No λ of the grid does better than none"),
        (0.1, "--from extends it"),
        (0.5, ""),
        (0.9, "--to extends it"),
    ],
)
def test_a_choice_at_the_end_of_the_grid_is_said(best, said):
    grid = (0.0, 0.1, 0.5, 0.9)
    points = [tune.Point(lam, (at(lam, 1, 0.9 if lam == best else 0.5),)) for lam in grid]
    assert said in tune.at_an_end(points)
    assert bool(said) == bool(tune.at_an_end(points))


@pytest.mark.parametrize("width", [40, 60, 80])
def test_what_was_chosen_is_said_on_a_narrow_terminal(width):
    points = [tune.Point(lam, (at(lam, 1, lam), at(lam, 2, lam))) for lam in (0.00012, 0.5, 0.9)]
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(tune.table(TUNED, points, width))
    text = console.export_text()
    assert "…" not in text, "no number and no heading is cut"
    assert "0.00012" in text
    lines = [line for line in text.splitlines() if "90.00" in line]
    assert len(lines) == 1
    assert "chosen" in lines[0]


def tuned(found, tmp_path, monkeypatch):
    """What is printed, of results by λ and seed."""

    def find(_, run):
        accuracy = found.get((run.lam, run.seed))
        return None if accuracy is None else at(run.lam, run.seed, accuracy)

    monkeypatch.setattr(tune.Store, "find", find)
    monkeypatch.setattr(tune.Store, "lost", lambda *_: "")
    monkeypatch.setattr(tune, "verified_before", lambda device, console: True)
    monkeypatch.setattr(tune, "train_missing", lambda *_: ["it was killed"])
    console = Console(width=100, record=True, file=io.StringIO())
    request = SimpleNamespace(seeds=3, out=tmp_path, data=None, jobs=1, recorded="")
    assert tune.tune(TUNED, (0.0, 1.0), request, console) == 2
    return console.export_text()


def test_lams_are_compared_by_the_seeds_that_all_have(tmp_path, monkeypatch):
    """The mean at λ = 1 lacks the seed that is hard."""
    found = {(0, 1): 0.9, (0, 2): 0.4, (0, 3): 0.9, (1, 1): 0.8, (1, 3): 0.8}
    out = tuned(found, tmp_path, monkeypatch)
    assert "Compared by the seeds that every λ has: 1, 3." in out
    record = json.loads((tmp_path / "tune.json").read_text(encoding="utf-8"))
    assert record["chosen"] == 0
    assert record["seeds"] == [1, 3]
    assert record["validation"] == {"0": 90.0, "1": 80.0}


def test_lams_without_a_seed_in_common_are_not_compared(tmp_path, monkeypatch):
    out = tuned({(0, 1): 0.9, (1, 3): 0.8}, tmp_path, monkeypatch)
    assert "Compared by the seeds that every λ has: none." in out
    assert "Not run: it was killed" in out
    assert not (tmp_path / "tune.json").exists()


BAD = {
    "a word": ({"lam": "much"}, "expected lam to be a float, got 'much'"),
    "true for a number": ({"train": True}, "expected train to be a int, got True"),
    "a negative": ({"penalty": "spectreg", "lam": -1.0}, "expected lam >= 0, got -1"),
    "no number": ({"learning_rate": float("nan")}, "expected learning_rate > 0, got nan"),
    "too large a batch": ({"batch": 100}, "expected batch <= train = 60, got 100"),
    "an unknown penalty": ({"penalty": "spectral"}, "expected penalty to be one of none, spectreg"),
    "lam for nothing": ({"lam": 0.1}, "expected a penalty for lam"),
    "an unknown option": (
        {"penalty": "spectreg", "options": {"prob": "onehot"}},
        "expected an option of spectreg to be one of batchnorm, chunk_size, every",
    ),
    "labels needed": (
        {"penalty": "doubleback", "unlabelled": 5},
        "expected unlabelled = 0 for doubleback, which needs labels",
    ),
    "an integer of 400 digits": ({"confidence": 10**400}, "expected confidence below 2.63, got a"),
    "a seed of 400 digits": ({"seed": 10**400}, "expected seed below 2.63, got a number of 401"),
    "a fraction with dropout": (
        {"penalty": "spectreg", "dropout": True, "options": {"fraction": 0.5}},
        "expected fraction = 1 with dropout, as a mask belongs to the rows of a whole batch",
    ),
    "a fraction and unlabelled images": (
        {"penalty": "spectreg", "unlabelled": 40, "options": {"fraction": 0.5}},
        "expected fraction = 1 with unlabelled",
    ),
    "a compiled step in two": (
        {"penalty": "spectreg", "compile": True, "options": {"every": 2}},
        "expected every = 1 with compile, as a step is compiled once",
    ),
    "a width of the LeNet": ({"width": 2}, "expected no width with network = 'lenet'"),
    "an unknown network": ({"network": "lnet"}, "expected network to be one of lenet, residual"),
    "unknown data": ({"data": "mnsit"}, "expected data to be one of digits, mnist"),
    "fewer unlabelled ones than a step takes": (
        {"penalty": "spectreg", "unlabelled": 5},
        "expected unlabelled = 0 or >= batch = 12",
    ),
}
for option, value, said in (
    ("shared_probe", "yes", "expected shared_probe=True or False, got 'yes'"),
    ("shared_probe", 1, "expected shared_probe=True or False, got 1"),
    ("probe", "gausian", "expected probe to be one of gaussian, "),
    ("mode", "backwards", "expected mode to be one of auto, "),
    ("batchnorm", True, "expected batchnorm to be one of batch, "),
    ("fraction", 5, "expected fraction in "),
    ("every", 0.5, "expected every to be a whole number"),
    ("num_probes", 0, "expected num_probes to be a whole number"),
    ("chunk_size", True, "expected chunk_size to be a whole number"),
):
    BAD[f"{option} = {value}"] = {"penalty": "spectreg", "options": {option: value}}, said


@pytest.mark.parametrize("name", BAD)
def test_a_run_that_cannot_be_is_a_sentence(name):
    changes, said = BAD[name]
    with pytest.raises((ValueError, TypeError), match=said):
        replace(RUN, **changes)


WHOLE = "data = 'digits'\ntrain = 60\nnetwork = 'lenet'\nseed = 1\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("data = ", "expected a run in TOML"),
        ("data = 'digits'\nlambda = 1", "expected a key of .* to be one of data"),
        ("data = 'digits'", "expected train, network, seed in"),
        ("data = 'digits'\ntrain = 'all'\nnetwork = 'lenet'\nseed = 1", "expected train to be"),
        (f"data = {'[' * 5000}{']' * 5000}", "expected a run in TOML"),
        (f"seed = {'9' * 5000}", "expected a run in TOML"),
        (f"{WHOLE}lam = {'9' * 400}", "expected lam below 2.63, got a number of 400 digits"),
        (f"{WHOLE}penalty = 'spectreg'\n[options]\nfraction = 'a'", "expected fraction in"),
        (f"{WHOLE}penalty = 'spectreg'\n[options]\nshared_probe = 'yes'", "shared_probe=True or"),
    ],
)
def test_a_bad_file_is_named(tmp_path, text, said):
    path = tmp_path / "run.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=said) as caught:
        from_toml(path)
    assert str(path) in str(caught.value)


def test_runs_that_are_not_one_cell_are_not_stacked():
    with pytest.raises(ValueError, match="differ in their seeds and in nothing else"):
        train([RUN, replace(RUN, seed=2, batch_norm=True)])


def test_a_fraction_cannot_be_stacked():
    runs = [replace(RUN, seed=s, penalty="spectreg", options={"fraction": 0.5}) for s in (1, 2)]
    with pytest.raises(ValueError, match="leave --stack-seeds out"):
        train(runs)


@pytest.mark.parametrize("kind", [{"options": {"mode": "finite_difference"}}, {"amp": "bfloat16"}])
def test_what_vmap_cannot_run_cannot_be_stacked(kind):
    runs = [replace(RUN, seed=s, penalty="spectreg", **kind) for s in (1, 2)]
    with pytest.raises(ValueError, match=r"for stacked seeds.*leave --stack-seeds out"):
        train(runs)


def test_a_stacked_run_that_diverges_leaves_the_others_alone(monkeypatch):
    """One has a rate of its own for a step, which is too large."""
    runs = [replace(RUN, seed=seed) for seed in (1, 2, 3)]
    monkeypatch.setattr(training, "LOOK_EVERY", 5)
    step = Trainer.step

    def with_a_mishap(trainer, t):
        total = step(trainer, t)
        if t == 7 and len(trainer.runs) > 1:
            with torch.no_grad():
                trainer.parameters[0][1] *= float("inf")
        return total

    monkeypatch.setattr(Trainer, "step", with_a_mishap)
    outcomes, networks = train(runs)
    assert [outcome.diverged for outcome in outcomes] == [None, 10, None]
    for r in (0, 2):
        _, (alone,) = train([runs[r]])
        for a, b in zip(networks[r].parameters(), alone.parameters(), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_a_run_that_is_lost_in_its_last_step_has_diverged():
    (outcome,), _ = train([replace(RUN, learning_rate=1e30, iterations=1)])
    assert outcome.diverged == 1


def test_half_precision_in_forward_mode():
    """Probes of the inputs have their dtype, not autocast's."""
    train([replace(RUN, penalty="spectreg", amp="bfloat16", options={"mode": "forward"})])


def test_checkpoints_of_other_seeds_have_other_names(tmp_path):
    store, (a, b, c) = Store(tmp_path), (replace(RUN, seed=s) for s in (1, 2, 3))
    assert len({store.checkpoint(group) for group in ((a,), (a, b), (a, c))}) == 3


def test_a_checkpoint_of_another_number_of_processes_is_refused(tmp_path, monkeypatch):
    key = training.checkpoint_key([RUN], None)
    monkeypatch.setattr(parallel, "size", lambda: 2)
    other = training.checkpoint_key([RUN], None)
    state = {"model": {}, "optimiser": {}, "scaler": {}}
    Checkpoint(tmp_path / "c", other).save(3, 0.0, state)
    with pytest.raises(ValueError, match="one of another number of processes"):
        Checkpoint(tmp_path / "c", key).load("cpu")


def test_a_fraction_is_of_one_process(monkeypatch):
    """Each would draw its own part, of its own rows."""
    run = replace(RUN, penalty="spectreg", options={"fraction": 0.5})
    monkeypatch.setattr(parallel, "size", lambda: 2)
    with pytest.raises(ValueError, match=r"expected fraction = 1 under torchrun.*one process"):
        Trainer([run], [images_of(run, None)])


@pytest.mark.parametrize("num_probes", [10, 10**11])
def test_more_probes_than_the_exact_value_takes_are_refused(num_probes):
    run = replace(RUN, penalty="spectreg", options={"num_probes": num_probes})
    with pytest.raises(ValueError, match=r"expected num_probes < 10, got 10.*use frobreg"):
        train([run])


def test_a_confidence_penalty_beyond_all_bounds_diverges():
    (outcome,), _ = train([replace(RUN, confidence=1e308)])
    assert outcome.diverged == 20


def test_the_keys_of_a_file_are_on_the_page():
    page = (Path(__file__).parents[1] / "docs" / "experiments.md").read_text(encoding="utf-8")
    lines = re.findall(
        r"^\| (`.*?) \| .* \| (.*) \|$", page.split("The keys are:")[1], re.MULTILINE
    )
    said = {}
    for names, defaults in lines:
        keys, values = re.findall(r"`(.*?)`", names), re.findall(r"`(.*?)`", defaults)
        values = values or [defaults]
        said |= dict(zip(keys, values * (len(keys) if len(values) == 1 else 1), strict=True))
    for field in fields(Run):
        if field.name == "options":
            assert said["[options]"] == "none"
        elif field.default is MISSING:
            assert said[field.name] == "required"
        else:
            assert tomllib.loads(f"x = {quoted(said[field.name])}")["x"] == field.default


def quoted(word):
    """As a value of TOML."""
    return word if re.fullmatch(r'[\d.]+|true|false|""', word) else f'"{word}"'


def test_ids_are_of_choices_alone():
    assert replace(RUN, lam=0, confidence=1).id == replace(RUN, confidence=1.0).id
    assert replace(RUN, seed=2).id != RUN.id


@pytest.mark.parametrize("penalty", [gt.SpectReg, gt.JacReg])
def test_options_are_those_of_the_penalty(penalty):
    name = penalty.__name__.lower()
    for option in ("probe", "num_probes", "shared_probe", "mode", "every"):
        value = {"probe": "sphere", "mode": "reverse", "shared_probe": True}.get(option, 1)
        drawn = {"num_probes": 1} if penalty is gt.JacReg else {}  # without them, JacReg is exact
        assert replace(RUN, penalty=name, options=drawn | {option: value})


@pytest.mark.parametrize("other", [{"dropout": True}, {"unlabelled": 40}])
def test_a_fraction_of_1_is_what_a_refusal_asks_for(other):
    run = replace(RUN, iterations=2, penalty="spectreg", lam=0.1, **other)
    (whole,), _ = train([run])
    (outcome,), _ = train([replace(run, options={"fraction": 1})])
    assert replace(outcome, run=run, seconds=0) == replace(whole, seconds=0)


def test_the_ways_to_train():
    shared = {"shared_probe": True, "probe": "rademacher", "num_probes": 2}
    for changes in (
        {"penalty": "spectreg", "options": shared},
        {"penalty": "spectreg", "options": {"mode": "forward"}},
        {"penalty": "jacreg", "options": {"every": 2}},
        {"amp": "bfloat16", "penalty": "spectreg"},
    ):
        (outcome,), _ = train([replace(RUN, iterations=2, **changes)])
        assert outcome.diverged is None


def test_a_network_that_does_not_fit_the_images_is_a_sentence():
    for changes in ({"network": "residual"}, {"dropout": True, "batch_norm": True}):
        with pytest.raises(ValueError, match="expected images of"):
            train([replace(RUN, **changes)])
