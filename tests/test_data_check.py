"""``gradreg data check``: what is there, what is missing, and everything that is broken."""

import argparse
import hashlib
import importlib

import pytest
from data_files import (
    jpeg,
    write_cifar_10,
    write_cifar_100,
    write_mnist,
    write_tiny_imagenet,
)
from gradreg_cli import data as command
from gradreg_experiments import needs
from gradreg_experiments.data import DATA_SETS, disk, load

from gradreg_verify.frameworks.registry import BackendUnavailable

pytest.importorskip("PIL", reason="Pillow is not installed")


def check(*argv):
    """Exit status; what is raised is a sentence and status 2 in `gradreg_cli.main`."""
    parser = argparse.ArgumentParser()
    command.add_options(parser)
    return command.run(parser.parse_args(["check", *map(str, argv)]))


@pytest.fixture
def folder(tmp_path):
    """Every data set, small."""
    write_mnist(tmp_path / "mnist")
    write_mnist(tmp_path / "FashionMNIST" / "raw", packed=False)
    write_cifar_10(tmp_path / "cifar-10-batches-py", batches=(1, 3))
    write_cifar_100(tmp_path / "cifar-100-python")
    write_tiny_imagenet(tmp_path / "tiny-imagenet-200")
    return tmp_path


def said_of(name, out):
    """The paragraph on one data set."""
    lines = out.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(f"{name}: "))
    end = next(i for i in range(start + 1, len(lines)) if not lines[i].startswith("    "))
    return lines[start:end]


def test_everything_is_found(folder, capsys):
    assert check(folder) == 0
    out = capsys.readouterr().out
    assert out.endswith("\ndata sets there: 5; broken: 0\n")
    path = folder / "cifar-10-batches-py"
    batch = path / "data_batch_1"
    md5 = hashlib.md5(batch.read_bytes()).hexdigest()
    lines = said_of("cifar-10", out)
    assert lines[:4] == [
        f"cifar-10: partly there, {path}",
        "    training: 40 images of 3 × 32 × 32, 10 classes of 4 to 4 each",
        "    test: 10 images of 3 × 32 × 32, 10 classes of 1 to 1 each",
        f"    data_batch_1: {batch.stat().st_size} bytes, MD5 {md5}, not the published file",
    ]
    assert "    note: 40 of the 50000 published training images" in lines
    assert "    not there: data_batch_2, data_batch_4, data_batch_5" in lines
    assert lines[-1] == "    obtained from https://www.cs.toronto.edu/~kriz/cifar.html"
    assert "    training: 36 images of 3 × 64 × 64, 3 classes of 12 to 12 each" in said_of(
        "tiny-imagenet-200", out
    )
    assert said_of("fashion-mnist", out)[0].endswith("FashionMNIST/raw")


def test_a_whole_data_set_is_found(tmp_path, capsys, monkeypatch):
    write_mnist(tmp_path)
    known = DATA_SETS["mnist"]
    monkeypatch.setitem(DATA_SETS, "mnist", type(known)(**(vars(known) | {"counts": (20, 10)})))
    assert check(tmp_path) == 0
    lines = said_of("mnist", capsys.readouterr().out)
    assert lines[0] == f"mnist: found, {tmp_path}"
    assert not any("note" in line or "not there" in line for line in lines)


def test_a_balance_that_is_uneven(tmp_path, capsys):
    write_mnist(tmp_path / "mnist", train=13)
    assert check(tmp_path) == 0
    assert "10 classes of 1 to 2 each" in said_of("mnist", capsys.readouterr().out)[1]


def test_every_problem_of_every_data_set_is_listed(folder, capsys):
    for path in (folder / "mnist").glob("t10k*"):
        path.write_bytes(path.read_bytes()[:-3])
    (folder / "cifar-10-batches-py" / "data_batch_3").write_bytes(b"")
    (folder / "cifar-100-python" / "test").unlink()
    images = folder / "tiny-imagenet-200" / "val" / "images"
    for path in images.iterdir():
        path.write_bytes(jpeg(0)[:-50])
    for path in (folder / "tiny-imagenet-200" / "train").glob("*/*/*.JPEG"):
        path.write_bytes(b"")
    assert check(folder) == 1
    out = capsys.readouterr().out
    problems = {
        name: sum(line.startswith("    PROBLEM ") for line in said_of(name, out))
        for name in DATA_SETS
        if DATA_SETS[name].files
    }
    assert problems == {
        "mnist": 2,
        "fashion-mnist": 0,
        "cifar-10": 1,
        "cifar-100": 1,
        "tiny-imagenet-200": 42,
    }
    assert "    not there: test" in said_of("cifar-100", out)
    assert said_of("cifar-10", out)[0].startswith("cifar-10: broken, ")
    assert any("data_batch_1: " in line for line in said_of("cifar-10", out)), "files have sums"
    assert said_of("mnist", out)[1].endswith("published file; its contents were not compared")
    assert out.endswith("\ndata sets there: 5; broken: 4\n")


def test_a_file_without_end_is_named_and_not_summed(folder, capsys, monkeypatch):
    batches, summed = folder / "cifar-10-batches-py", []
    with (batches / "data_batch_3").open("wb") as file:
        file.truncate(disk.LIMIT + 1)
    fingerprint = disk.fingerprint

    def watched(known, name, path):
        summed.append(path.name)
        return fingerprint(known, name, path)

    module = importlib.import_module("gradreg_experiments.data.check")  # not its function
    monkeypatch.setattr(module, "fingerprint", watched)
    assert check(folder) == 1
    lines = said_of("cifar-10", capsys.readouterr().out)
    assert summed == ["data_batch_1", "test_batch", "batches.meta"]
    (problem,) = (line for line in lines if "PROBLEM" in line)
    assert f"data_batch_3, got {disk.LIMIT + 1}; get it anew" in problem


def test_nothing_known_is_status_2(tmp_path, capsys):
    (tmp_path / "train").write_text("another program's")
    assert check(tmp_path) == 2
    out = capsys.readouterr().out
    assert "mnist: not there; http://yann.lecun.com/exdb/mnist/" in out
    assert out.endswith("\ndata sets there: 0; broken: 0\n")


def test_an_empty_folder_of_a_published_name_is_broken(tmp_path, capsys):
    (tmp_path / "cifar-100-python").mkdir()
    assert check(tmp_path) == 1
    assert "got an empty folder" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["nowhere", "file"])
def test_no_folder_is_a_sentence(tmp_path, name):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=f"expected a folder with data sets, got .*{name}"):
        check(tmp_path / name)


def test_a_loop_of_links_is_a_sentence(tmp_path):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(FileNotFoundError, match=f"in {tmp_path}/loop, or in a folder"):
        load("mnist", tmp_path / "loop")


@pytest.mark.parametrize("name", ["data", "fashion"])
def test_files_without_a_folder_of_their_own_are_one_data_set(tmp_path, capsys, name):
    write_mnist(tmp_path / name)
    assert check(tmp_path / name) == 0
    out = capsys.readouterr().out
    assert said_of("mnist", out)[0].startswith("mnist: not there") == (name == "fashion")
    assert said_of("fashion-mnist", out)[0].startswith("fashion-mnist: not") == (name == "data")


def test_decoded_images_are_kept_only_where_asked(folder, tmp_path, monkeypatch):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(command.tempfile, "tempdir", str(temporary))
    check(folder)
    assert list(temporary.iterdir()) == []
    check(folder, "--cache", tmp_path / "kept")
    assert len(list((tmp_path / "kept").iterdir())) == 1


def test_without_pillow_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(needs, "find_spec", lambda _: None)
    with pytest.raises(BackendUnavailable, match=r"pip install 'gradreg-ref\[experiments\]'"):
        check(tmp_path)
