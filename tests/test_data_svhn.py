"""SVHN's MATLAB files, and scikit-learn's digits."""

import io
import struct
import warnings
import zlib

import numpy as np
import pytest
from data_files import pixels, write_svhn
from gradreg_experiments.data import Broken, load
from gradreg_experiments.data import digits as digits_reader
from gradreg_experiments.data.matlab import LIMIT, read_variables
from scipy.io import loadmat, savemat, whosmat

from gradreg_verify.frameworks.registry import BackendUnavailable


def test_svhn_is_turned_round_and_10_is_0(tmp_path):
    fields = write_svhn(tmp_path / "svhn")
    data = load("svhn", tmp_path)
    X, y = fields["train_32x32.mat"]["X"], fields["train_32x32.mat"]["y"]
    assert data.train_images.shape == (20, 3, 32, 32)
    for n in (0, 19):
        np.testing.assert_array_equal(data.train_images[n, 2], X[:, :, 2, n])
    assert data.train_labels.tolist() == [0 if label == 10 else label for label in y[:, 0]]
    assert data.train_labels.dtype == np.int64
    assert data.train_images.flags.c_contiguous


GOOD = {"X": pixels(32, 32, 3, 4), "y": np.array([[1], [2], [3], [10]], np.uint8)}


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"Z": GOOD["X"]}, r"got: X \(\), missing"),
        ({"X": GOOD["X"]}, r"got: y \(\), missing"),
        (GOOD | {"X": GOOD["X"].astype(float)}, r"X \(32, 32, 3, 4\), double"),
        (GOOD | {"X": pixels(32, 32, 4)}, r"X \(32, 32, 4\), uint8"),
        (GOOD | {"X": {"a": 1}}, "struct"),
        (GOOD | {"y": GOOD["y"][:3]}, r"y \(3, 1\), uint8, beside X \(32, 32, 3, 4\)"),
        (GOOD | {"y": GOOD["y"].T}, r"y \(1, 4\)"),
        (GOOD | {"y": GOOD["y"].astype(str)}, r"y \(4, 1, \d\), char"),
        (GOOD | {"y": GOOD["y"] * 1j}, "labels 1 to 10 in .*, got 1j"),
        (GOOD | {"y": GOOD["y"] * 0.5}, "labels 1 to 10 in .*, got 0.5"),
        (GOOD | {"y": GOOD["y"] * np.nan}, "labels 1 to 10 in .*, got nan"),
        (GOOD | {"y": GOOD["y"] + np.uint8(1)}, "labels 1 to 10 in .*, got 11"),
        (GOOD | {"y": GOOD["y"] - np.uint8(1)}, "labels 1 to 10 in .*, got 0"),
    ],
)
def test_other_variables_are_refused(tmp_path, fields, sentence):
    write_svhn(tmp_path)
    savemat(tmp_path / "test_32x32.mat", fields)
    with pytest.raises(Broken, match=sentence) as caught:
        load("svhn", tmp_path)
    assert "test_32x32.mat" in str(caught.value)
    assert "SVHN (cropped digits) is obtained from http" in str(caught.value)


def element(kind, data):
    return struct.pack("<2I", kind, len(data)) + data + bytes(-len(data) % 8)


def test_labels_are_doubles_stored_in_bytes_as_published(tmp_path):
    """SciPy does not write such a file; MATLAB does, for any double that holds whole numbers."""
    write_svhn(tmp_path)
    path, (int8, uint8, int32, uint32, matrix) = tmp_path / "test_32x32.mat", (1, 2, 5, 6, 14)
    savemat(path, {"X": GOOD["X"]})
    double = element(uint32, struct.pack("<2I", 6, 0))
    shape, name = element(int32, struct.pack("<2i", 4, 1)), element(int8, b"y")
    y = double + shape + name + element(uint8, bytes([1, 2, 3, 10]))
    path.write_bytes(path.read_bytes() + element(matrix, y))
    assert {name: kind for name, _, kind in whosmat(path)} == {"X": "uint8", "y": "double"}
    assert load("svhn", tmp_path).test_labels.tolist() == [1, 2, 3, 0]


@pytest.mark.parametrize("one", [1.0, 1 + 0j])
def test_labels_may_be_doubles(tmp_path, one):
    write_svhn(tmp_path)
    savemat(tmp_path / "test_32x32.mat", GOOD | {"y": GOOD["y"] * one})
    labels = load("svhn", tmp_path).test_labels
    assert (labels.tolist(), labels.dtype) == ([1, 2, 3, 0], np.int64)


@pytest.mark.parametrize("size", [0, 50, 128, 140, 30_000])
def test_a_file_cut_off_anywhere_is_refused(tmp_path, size):
    write_svhn(tmp_path)
    path = tmp_path / "train_32x32.mat"
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(Broken, match=r"expected X .*train_32x32\.mat, a MATLAB 5 file, got: "):
        load("svhn", tmp_path)


def test_a_damaged_file_is_refused(tmp_path):
    write_svhn(tmp_path)
    path = tmp_path / "train_32x32.mat"
    data = bytearray(path.read_bytes())
    data[20_000:20_100] = bytes(100)
    path.write_bytes(data)
    with pytest.raises(Broken, match=r"train_32x32\.mat, a MATLAB 5 file, got: "):
        load("svhn", tmp_path)


def saved(fields, packed=False):
    out = io.BytesIO()
    savemat(out, fields, do_compression=packed)
    return out.getvalue()


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    "other",
    [{}, {"y": GOOD["y"] * 1.0}, {"y": GOOD["y"] * 1j}, {"of its own": {"a": 1}, "Z": [0.5]}],
    ids=["as they are", "doubles", "complex", "other variables"],
)
def test_what_scipy_writes_is_read_as_scipy_reads_it(packed, other):
    data = saved(GOOD | other, packed)
    found, expected = read_variables(data), loadmat(io.BytesIO(data))
    heads = {name: (shape, kind) for name, shape, kind in whosmat(io.BytesIO(data))}
    assert {name: (v.shape, v.kind) for name, v in found.items()} == heads
    for name in GOOD:
        np.testing.assert_array_equal(found[name].array(), expected[name], strict=True)


# Bytes of a file with X: its type, size, flags; axes, name, numbers, all after 128 bytes of head.
CLASS, COMPLEX, SHAPE_3, STORED_AS = 144, 145, 171, 184
DOUBLE = 9


def replaced(changes):
    """A file of X and y with other bytes; those of X come first."""
    data = bytearray(saved(GOOD))
    for place, value in changes.items():
        data[place] = value
    return bytes(data)


def many(n):
    return saved({f"v{i}": i for i in range(n)} | GOOD)


DAMAGED = {
    "said to be complex": (replaced({COMPLEX: 8}), "got: an element cut off"),
    "stored as doubles": (replaced({STORED_AS: DOUBLE}), "1536 numbers for shape"),
    "stored as signed bytes": (replaced({STORED_AS: 1}), "X stored as int8"),
    "stored as nothing known": (replaced({STORED_AS: 8}), "numbers of type 8"),
    "said to be of another class": (replaced({CLASS: 8}), r"X \(32, 32, 3, 4\), int8"),
    "a negative axis": (replaced({SHAPE_3: 255}), "a variable of shape"),
    "X twice": (saved(GOOD) + saved({"X": pixels(5, 5)})[128:], "two variables 'X'"),
    "y twice": (saved(GOOD) + saved({"y": GOOD["y"] * 2.0})[128:], "two variables 'y'"),
    "many": (many(20), "more than 16 variables"),
    "bytes after it": (saved(GOOD) + b"more", "an element cut off"),
    "big-endian": (replaced({126: ord("M"), 127: ord("I")}), "without MATLAB 5's head"),
    "no variable": (
        saved(GOOD) + struct.pack("<2I", 1, 0),
        "an element of type 1, and 0 bytes, for a variable",
    ),
}


@pytest.mark.parametrize(("data", "sentence"), DAMAGED.values(), ids=DAMAGED)
def test_what_is_said_and_what_is_stored_must_agree(tmp_path, data, sentence):
    """A wrong bit in place of the first gives SciPy a segmentation fault, others another array."""
    write_svhn(tmp_path)
    path = tmp_path / "train_32x32.mat"
    path.write_bytes(data)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        with pytest.raises(Broken, match=sentence) as caught:
            load("svhn", tmp_path)
    assert said == []
    assert f"expected X (32, 32, 3, n), uint8, and y (n, 1) in {path}" in str(caught.value)


@pytest.mark.parametrize("place", range(128, 208))
def test_no_wrong_byte_gives_another_array(place):
    for value in range(0, 256, 5):
        try:
            found = read_variables(replaced({place: value}))
            arrays = {name: v.array() for name, v in found.items() if v.kind == "uint8"}
        except (ValueError, zlib.error):
            continue
        X = arrays.get("X", GOOD["X"])
        assert (X.shape, X.dtype.itemsize) == ((32, 32, 3, 4), 1), (place, value)


def test_no_more_is_unpacked_than_a_file_may_hold(tmp_path):
    write_svhn(tmp_path)
    packed = zlib.compress(element(14, b"") + bytes(LIMIT), 1)
    path = tmp_path / "train_32x32.mat"
    path.write_bytes(saved(GOOD) + struct.pack("<2I", 15, len(packed)) + packed)
    with pytest.raises(Broken, match=f"cut off, or of more than {LIMIT} bytes"):
        load("svhn", tmp_path)


def test_digits_need_no_folder():
    datasets = pytest.importorskip("sklearn.datasets", reason="scikit-learn is not installed")
    data = load("digits")
    found = datasets.load_digits()
    assert data.train_images.shape == (1297, 1, 8, 8)
    assert data.test_images.shape == (500, 1, 8, 8)
    together = np.concatenate([data.train_images, data.test_images])[:, 0]
    np.testing.assert_array_equal(together, found.images)
    labels = np.concatenate([data.train_labels, data.test_labels])
    np.testing.assert_array_equal(labels, found.target)
    assert data.train_images.dtype == np.uint8
    assert labels.dtype == np.int64


def test_without_scikit_learn_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(digits_reader, "find_spec", lambda _: None)
    with pytest.raises(BackendUnavailable, match=r"pip install 'gradreg-ref\[experiments\]'"):
        load("digits")
