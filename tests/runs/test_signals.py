"""Signals, locks, and runs of several processes."""

import json
import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from gradreg_experiments import files
from gradreg_experiments.runs import parallel, train
from gradreg_experiments.runs.images import images_of
from gradreg_experiments.runs.store import Store
from gradreg_experiments.runs.trainer import Trainer
from runs.common import RUN, as_toml, goes_on

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


def test_a_fraction_is_of_one_process(monkeypatch):
    """Each would draw its own part, of its own rows."""
    run = replace(RUN, penalty="spectreg", options={"fraction": 0.5})
    monkeypatch.setattr(parallel, "size", lambda: 2)
    with pytest.raises(ValueError, match=r"expected fraction = 1 under torchrun.*one process"):
        Trainer([run], [images_of(run, None)])
