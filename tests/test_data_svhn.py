"""SVHN's MATLAB files, and scikit-learn's digits."""

import struct

import numpy as np
import pytest
from data_files import pixels, write_svhn
from gradreg_experiments.data import Broken, load
from gradreg_experiments.data import digits as digits_reader
from scipy.io import savemat, whosmat

from gradreg_ref.backends import BackendUnavailable


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
        (GOOD | {"y": GOOD["y"].astype(str)}, r"y \(4, \d\), char"),
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


def test_labels_may_be_doubles(tmp_path):
    write_svhn(tmp_path)
    savemat(tmp_path / "test_32x32.mat", GOOD | {"y": GOOD["y"] * 1.0})
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
