"""IDX files are read as they are, or refused before anything large is allocated."""

import gzip
import hashlib
import os
import struct
import tempfile
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from data_files import idx, pixels, write_mnist
from gradreg_experiments.data import Broken, load
from gradreg_experiments.data.disk import LIMIT as DISK_LIMIT
from gradreg_experiments.data.idx import LIMIT, read_idx
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp


@given(
    st.integers(1, 3).flatmap(
        lambda d: hnp.arrays(np.uint8, hnp.array_shapes(min_dims=d, max_dims=d, max_side=9))
    ),
    st.booleans(),
)
def test_what_is_written_is_read(array, packed):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / ("a.gz" if packed else "a")
        path.write_bytes(gzip.compress(idx(array)) if packed else idx(array))
        read = read_idx(path, array.ndim)
        assert read.dtype == np.uint8
        np.testing.assert_array_equal(read, array, strict=True)


def test_an_unpacked_file_is_mapped_and_cannot_be_changed(tmp_path):
    (tmp_path / "a").write_bytes(idx(pixels(3, 4, 5)))
    read = read_idx(tmp_path / "a", 3)
    assert isinstance(read, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        read[0, 0, 0] = 1


GOOD = idx(pixels(5, 4, 3))
HUGE = bytes([0, 0, 8, 3]) + struct.pack(">3I", 2**31, 2**31, 2**31)
LARGE = bytes([0, 0, 8, 3]) + struct.pack(">3I", LIMIT >> 16, 1 << 8, 1 << 8) + bytes(10)
DAMAGED = {
    "no images": (idx(np.zeros(5, np.uint8)), "to begin with 00 00 08 03 .* got 00 00 08 01"),
    "other numbers": (b"\0\0\x0d\x03" + GOOD[4:], "got 00 00 0d 03"),
    "empty": (b"", "got an empty file"),
    "half a header": (GOOD[:9], "a header of 16 bytes in .*, got 9 bytes"),
    "cut off": (GOOD[:-1], r"expected 60 bytes of data .* \(shape \(5, 4, 3\)\), got 59 bytes"),
    "more than it says": (GOOD + b"x", "expected 60 bytes of data .* got (61 bytes|more)"),
    "huge": (HUGE, f"at most {LIMIT} bytes of data in .* a header that says {2**93}"),
    "large": (LARGE, f"expected {LIMIT} bytes of data in .*, got "),
    "nothing in it": (idx(np.zeros((0, 4, 3), np.uint8)), r"expected data .* shape \(0, 4, 3\)"),
}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(("data", "sentence"), DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_file_is_named(tmp_path, data, sentence, packed):
    path = tmp_path / ("damaged.gz" if packed else "damaged")
    path.write_bytes(gzip.compress(data) if packed else data)
    with pytest.raises(ValueError, match=sentence) as caught:
        read_idx(path, 3)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    "data",
    [
        gzip.compress(GOOD)[:-9],
        gzip.compress(GOOD)[:25],
        b"not gzip at all",
        gzip.compress(GOOD)[:-8] + bytes(8),  # a wrong checksum
        gzip.compress(GOOD) + b"and more",
        gzip.compress(GOOD)[:12] + b"\xff\xff\xff" + gzip.compress(GOOD)[15:],
    ],
    ids=["cut off", "cut off early", "no gzip", "checksum", "followed by more", "damaged"],
)
def test_a_damaged_gzip_file_is_named(tmp_path, data):
    (tmp_path / "damaged.gz").write_bytes(data)
    with pytest.raises(ValueError, match=r"expected a whole gzip file in .*damaged\.gz, got: "):
        read_idx(tmp_path / "damaged.gz", 3)


@pytest.mark.parametrize(
    "data", [HUGE + os.urandom(100), GOOD + bytes(1 << 26)], ids=["large header", "bomb"]
)
def test_little_is_allocated_for_a_file_that_only_claims_or_unpacks_to_much(tmp_path, data):
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(data, 1))
    del data
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="get the file anew"):
            read_idx(path, 3)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_a_sparse_file_as_large_as_its_header_says_is_not_read(tmp_path):
    with (tmp_path / "sparse").open("wb") as file:
        file.write(bytes([0, 0, 8, 3]) + struct.pack(">3I", 1 << 16, 1 << 8, 1 << 8))
        file.truncate(16 + (1 << 32))
    with pytest.raises(ValueError, match=f"at most {LIMIT} bytes of data in .*sparse"):
        read_idx(tmp_path / "sparse", 3)


def test_only_one_member_of_a_gzip_file_is_read(tmp_path):
    """A million empty ones keep `gzip` busy for seconds, and a file may have ten times as many."""
    empty, path = gzip.compress(b""), tmp_path / "a.gz"
    for data in (empty * 1_000_000 + gzip.compress(GOOD), gzip.compress(GOOD) + empty):
        path.write_bytes(data)
        with pytest.raises(
            ValueError, match=r"a whole gzip file in .*a\.gz, got: more after its end"
        ):
            read_idx(path, 3)


@pytest.mark.parametrize("name", ["pipe", "pipe.gz"])
def test_a_pipe_is_not_waited_for(tmp_path, name):
    os.mkfifo(tmp_path / name)
    with pytest.raises(ValueError, match=f"expected a file in .*{name}, got: no regular file"):
        read_idx(tmp_path / name, 3)


@pytest.mark.parametrize("packed", [False, True])
def test_a_file_without_end_is_neither_unpacked_nor_summed(tmp_path, packed):
    """Sparse: it takes no room, and days."""
    write_mnist(tmp_path, packed=packed)
    path = tmp_path / f"train-images-idx3-ubyte{'.gz' if packed else ''}"
    with path.open("r+b") as file:
        file.truncate(DISK_LIMIT + 1)
    with pytest.raises(Broken, match=f"at most {DISK_LIMIT} bytes in {path}, got {DISK_LIMIT + 1}"):
        load("mnist", tmp_path)


@pytest.mark.parametrize("packed", [False, True])
def test_mnist(tmp_path, packed):
    arrays = write_mnist(tmp_path / "mnist", packed=packed)
    data = load("mnist", tmp_path)
    for images, labels, prefix in (
        (data.train_images, data.train_labels, "train"),
        (data.test_images, data.test_labels, "t10k"),
    ):
        np.testing.assert_array_equal(images[:, 0], arrays[f"{prefix}-images-idx3-ubyte"])
        np.testing.assert_array_equal(labels, arrays[f"{prefix}-labels-idx1-ubyte"])
        assert labels.dtype == np.int64
    assert data.train_images.shape == (20, 1, 28, 28)
    assert len(data.files) == 4
    assert {file.remark for file in data.files} == {"not the published file"}
    assert data.notes == (
        "20 of the 60000 published training images",
        "10 of the 10000 published test images",
    )


def test_names_with_a_dot_and_the_folders_of_torchvision(tmp_path):
    write_mnist(tmp_path / "MNIST" / "raw", packed=False)
    for path in (tmp_path / "MNIST" / "raw").iterdir():
        path.rename(path.with_name(path.name.replace("-idx", ".idx")))
    assert load("mnist", tmp_path).train_labels.shape == (20,)
    assert load("mnist", tmp_path / "MNIST" / "raw").train_labels.shape == (20,)


def replaced(name, array):
    def damage(folder):
        (folder / f"{name}-ubyte.gz").write_bytes(gzip.compress(idx(array)))

    return damage


def removed(name):
    return lambda folder: (folder / f"{name}-ubyte.gz").unlink()


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (
            replaced("train-labels-idx1", np.zeros(19, np.uint8)),
            "one label for each image in .*train-labels.*, got 20 images and 19 labels",
        ),
        (
            replaced("t10k-labels-idx1", np.full(10, 10, np.uint8)),
            r"labels in \[0, 10\) in .*t10k-labels.*, got 10 to 10",
        ),
        (replaced("train-images-idx3", pixels(20, 28, 27)), "28 × 28 in .*images.*, got 28 × 27"),
        (removed("t10k-images-idx3"), "t10k-images-idx3-ubyte, got no such file"),
    ],
)
def test_files_that_do_not_fit_together(tmp_path, damage, sentence):
    write_mnist(tmp_path)
    damage(tmp_path)
    with pytest.raises(Broken, match=sentence) as caught:
        load("mnist", tmp_path)
    assert "MNIST is obtained from http" in str(caught.value)


def test_all_problems_are_told_at_once(tmp_path):
    write_mnist(tmp_path)
    for path in tmp_path.glob("*images*"):
        path.write_bytes(b"")
    with pytest.raises(Broken) as caught:
        load("mnist", tmp_path)
    assert len(caught.value.sentences) == 2


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
def test_a_folder_is_no_file_and_a_pipe_is_not_waited_for(tmp_path, make):
    write_mnist(tmp_path)
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.unlink()
    make(path)
    with pytest.raises(Broken, match=f"expected {path} to be a file"):
        load("mnist", tmp_path)


def test_files_of_another_data_set_under_the_same_names(tmp_path, monkeypatch):
    """The published sum of a Fashion-MNIST file is found where MNIST is expected."""
    from gradreg_experiments.data import loading

    write_mnist(tmp_path / "mnist")
    md5 = load("mnist", tmp_path).files[0].md5
    monkeypatch.setitem(loading.DATA_SETS["fashion-mnist"].files, "train-images-idx3-ubyte", (md5,))
    with pytest.raises(
        Broken,
        match=r"got train-images.* of Fashion-MNIST; keep that data set in a folder named fash",
    ):
        load("mnist", tmp_path)
    (tmp_path / "mnist").rename(tmp_path / "fashion-mnist")
    data = load("fashion-mnist", tmp_path)
    assert data.files[0].remark == "the published file"
    assert data.classes[9] == "Ankle boot"


def test_a_file_under_the_name_of_another(tmp_path, monkeypatch):
    """Training images in place of the test images would go unnoticed in every experiment."""
    from gradreg_experiments.data import loading

    write_mnist(tmp_path)
    train = "train-images-idx3-ubyte"
    md5 = hashlib.md5((tmp_path / f"{train}.gz").read_bytes()).hexdigest()
    monkeypatch.setitem(loading.DATA_SETS["mnist"].files, train, (md5,))
    assert load("mnist", tmp_path).files[0].remark == "the published file"
    for kind in ("images-idx3", "labels-idx1"):
        train_file = tmp_path / f"train-{kind}-ubyte.gz"
        (tmp_path / f"t10k-{kind}-ubyte.gz").write_bytes(train_file.read_bytes())
    sentence = r"expected .*t10k-images-idx3-ubyte\.gz to be of MNIST, got train-images-idx3-ubyte"
    with pytest.raises(Broken, match=sentence):
        load("mnist", tmp_path)


def test_contents_that_are_published_are_told_from_a_file_that_is(tmp_path, monkeypatch):
    from gradreg_experiments.data import loading

    arrays = write_mnist(tmp_path)
    name = "t10k-labels-idx1-ubyte"
    md5 = hashlib.md5(idx(arrays[name])).hexdigest()
    monkeypatch.setitem(loading.DATA_SETS["mnist"].files, name, ("0" * 32, md5))
    remarks = [file.remark for file in load("mnist", tmp_path).files]
    assert remarks == ["not the published file"] * 3 + ["the published contents, compressed anew"]
