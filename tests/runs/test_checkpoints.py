"""A killed run goes on as if nothing had happened, or says why it cannot."""

import copy
import os
import signal
import subprocess
import sys
import time
import tracemalloc
from dataclasses import replace

import pytest
import torch
from gradreg_experiments.runs import from_toml, images, parallel, train, training
from gradreg_experiments.runs.checkpoint import Checkpoint
from gradreg_experiments.runs.images import images_of
from gradreg_experiments.runs.store import Store
from gradreg_experiments.runs.trainer import Trainer
from runs.common import RUN, as_toml, flipped, goes_on

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
        file = Checkpoint(checkpoint, training.checkpoint_key([run], None))
        step = file.load("cpu", Trainer([run], [images_of(run, None)]).form)["step"]
        assert 0 < step < run.iterations
        assert goes_on(run, checkpoint) == step + 1


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
                    checkpoint.load("cpu", dict)
            else:
                assert "weights that do not belong to" in store.lost(RUN)
            assert tracemalloc.get_traced_memory()[1] < 16 << 20
        finally:
            tracemalloc.stop()


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
        Checkpoint(tmp_path / "c", key).load("cpu", dict)
