"""Where results go: an earlier result is replaced, a file of others never; and before any work."""

import os
from argparse import Namespace
from pathlib import Path

import pytest
from gradreg_experiments import files, result
from gradreg_experiments.agreement import run as agreement
from gradreg_experiments.reproduce import page, run
from gradreg_experiments.runs import tune
from gradreg_experiments.runs.description import Run
from gradreg_experiments.toy import quickstart
from gradreg_experiments.toy.problem import Task

from gradreg_verify import vectors

SUFFIXES = ("json", "csv", "png", "svg")
OTHERS = {
    "a file": lambda path: path.write_text("mine"),
    "JSON": lambda path: path.write_text('{"command": "make"}'),
    "a folder": Path.mkdir,
    "a pipe": os.mkfifo,
    "a link to itself": lambda path: path.symlink_to(path),
}


def agree(out):
    agreement.run(out, 1)


def toy(out):
    asked = Namespace(out=out, device="cpu", seeds=1, iterations=1, recorded="gradreg quickstart")
    quickstart.run(asked, full=False)


def other_toy(out):
    asked = Namespace(out=out, device="cpu", seeds=1, iterations=1, recorded="gradreg reproduce")
    quickstart.run(asked, full=False, task=Task("square", 0.1))


def tuned(out):
    one = Run(data="digits", train=50, validation=20, network="lenet", seed=1, penalty="spectreg")
    tune.tune(one, (0.0, 0.1), Namespace(out=out, jobs=1, seeds=1, data=None))


def reproduced(out):
    asked = Namespace(
        **dict.fromkeys(("jobs", "seeds", "budget", "data", "iterations", "width")),
        on=[],
        row=[],
        arm=[],
        protocol="paper",
        device="cpu",
        amp="",
        compile=False,
        out=out,
        tables=False,
    )
    run.reproduce(["weight-decay"], asked)


COMMANDS = [
    (agree, [f"agree.{s}" for s in SUFFIXES]),
    (toy, [f"toy.{s}" for s in SUFFIXES]),
    (other_toy, ["toy-square-0.1.csv"]),
    (tuned, [f"tune.{s}" for s in SUFFIXES]),
    (reproduced, ["weight-decay.csv", "weight-decay.json", "index.html", "tables.md"]),
    (vectors.export, ["v1.json", "v1.mistakes.json", "vectors.schema.json"]),
]


@pytest.fixture(autouse=True)
def no_work(monkeypatch):
    def work(*_, **__):
        raise AssertionError("the work began")

    monkeypatch.setattr(agreement, "compare", work)
    for module, name in (
        (quickstart, "verified"),
        (tune, "verified_before"),
        (run, "verified_before"),
    ):
        monkeypatch.setattr(module, name, work)


@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize(
    ("command", "name"), [(command, name) for command, names in COMMANDS for name in names]
)
def test_a_file_of_others_is_left_and_named_before_any_work(tmp_path, command, name, other):
    OTHERS[other](tmp_path / name)
    before = (tmp_path / name).lstat()
    with pytest.raises(ValueError, match=r"away") as caught:
        command(tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert os.path.samestat(before, (tmp_path / name).lstat())
    assert {path.name for path in tmp_path.iterdir()} <= {name, "runs"}


def test_an_earlier_result_is_replaced(tmp_path):
    record = {"command": "gradreg agree", "loss": float("nan")}
    with result.drawing(1) as figure:
        result.write_result(tmp_path, "agree", [["head"]], record, figure)
    files.require_writable(tmp_path, "agree")
    (tmp_path / "agree.json").unlink()
    with pytest.raises(ValueError, match=r"the record of agree\.svg.*no such file"):
        files.require_writable(tmp_path, "agree")


def test_the_record_is_there_before_what_belongs_to_it(tmp_path, monkeypatch):
    """A result of which half was written is still known to be ours."""

    def full(path, content):
        if path.suffix != ".json":
            raise OSError(28, "No space left on device", str(path))
        path.write_bytes(content)

    monkeypatch.setattr(result, "write_atomically", full)
    with pytest.raises(OSError, match="No space left"):
        result.write_result(tmp_path, "agree", [["head"]], {"command": "gradreg agree"}, None)
    files.require_writable(tmp_path, "agree")


def test_an_earlier_page_is_replaced(tmp_path):
    page.write_page(tmp_path)
    page.require_place(tmp_path)


def test_vectors_are_exported_again(tmp_path):
    assert vectors.export(tmp_path) == vectors.export(tmp_path)


def test_a_lock_of_others_is_left(tmp_path):
    (lock := tmp_path / ".lock").write_text("mine")
    with pytest.raises(ValueError, match="give another --out"), files.held(tmp_path):
        pass
    assert lock.read_text() == "mine"


def test_a_name_that_is_not_utf_8_is_held(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["gradreg", "train", "--out", "\udcff"])
    for _ in range(2):
        with files.held(tmp_path):
            assert r"\udcff" in (tmp_path / ".lock").read_text()


@pytest.mark.parametrize("place", ["a link to nothing", "a link to itself", "a file"])
def test_what_is_no_folder_is_said(tmp_path, place):
    out = tmp_path / "out"
    target = {"a link to nothing": tmp_path / "none", "a link to itself": out}.get(place)
    out.write_text("mine") if target is None else out.symlink_to(target)
    with pytest.raises(NotADirectoryError, match=f"got {out}, which is no folder"):
        files.require_writable(out)


def test_a_folder_that_cannot_be_written_to_is_named_itself(tmp_path, monkeypatch):
    def refused(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "touch", refused)
    with pytest.raises(PermissionError) as caught:
        files.require_writable(tmp_path)
    assert caught.value.filename == str(tmp_path)
