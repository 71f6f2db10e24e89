"""CIFAR's files are read as published; everything else is refused, and nothing is called."""

import os
import pickle

import numpy as np
import pytest
from data_files import cifar_batch, pixels, python_2_pickle, write_cifar_10, write_cifar_100
from gradreg_experiments.data import Broken, load
from gradreg_experiments.data.pickles import LIMIT, unpickle


def test_cifar_10_is_read_batch_after_batch(tmp_path):
    fields = write_cifar_10(tmp_path / "cifar-10-batches-py", batches=(1, 2, 4))
    data = load("cifar-10", tmp_path)
    train = np.concatenate([fields[f"data_batch_{i}"]["data"] for i in (1, 2, 4)])
    assert data.train_images.shape == (60, 3, 32, 32)
    np.testing.assert_array_equal(data.train_images.reshape(60, -1), train)
    np.testing.assert_array_equal(data.test_images.reshape(10, -1), fields["test_batch"]["data"])
    np.testing.assert_array_equal(data.train_labels, list(range(10)) * 6)
    assert data.train_labels.dtype == np.int64
    assert data.train_images.dtype == np.uint8
    assert data.classes[3] == "class 3"
    names = ["data_batch_1", "data_batch_2", "data_batch_4", "test_batch", "batches.meta"]
    assert [file.path.name for file in data.files] == names


def test_red_comes_first_then_rows(tmp_path):
    batch = cifar_batch(1)
    batch["data"][0] = 0
    batch["data"][0, 1024 + 32 * 5 + 7] = 9  # green, row 5, column 7
    write_cifar_10(tmp_path)
    (tmp_path / "test_batch").write_bytes(python_2_pickle(batch))
    assert np.argwhere(load("cifar-10", tmp_path).test_images).tolist() == [[0, 1, 5, 7]]


def test_cifar_100_has_its_fine_labels(tmp_path):
    fields = write_cifar_100(tmp_path / "cifar-100-python")
    data = load("cifar-100", tmp_path)
    np.testing.assert_array_equal(data.train_labels, fields["train"]["fine_labels"])
    assert (len(data.classes), data.classes[99]) == (100, "class 99")


def test_without_meta_the_classes_are_numbers(tmp_path):
    write_cifar_10(tmp_path)
    (tmp_path / "batches.meta").unlink()
    data = load("cifar-10", tmp_path)
    assert data.classes == tuple("0123456789")
    assert "no file batches.meta: classes are numbers" in data.notes


@pytest.mark.parametrize("n", [0, 1, 1000, 1001])
def test_lists_of_every_length(tmp_path, n):
    fields = {"labels": [i % 300 for i in range(n)], "data": pixels(3, 4), "name": "a", "n": -1}
    (tmp_path / "a").write_bytes(python_2_pickle(fields))
    read = unpickle(tmp_path / "a")
    np.testing.assert_array_equal(read.pop("data"), fields.pop("data"), strict=True)
    assert read == fields


class Calls:
    """Pickled as a call."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (os.system, ("touch pwned",)),
        (eval, ("open('pwned', 'w')",)),
        (np.load, ("pwned",)),
        (np.zeros, ((1 << 30,),)),
    ],
)
def test_nothing_is_called(tmp_path, monkeypatch, function, arguments, protocol):
    monkeypatch.chdir(tmp_path)
    content = {"data": Calls(function, *arguments), "labels": []}
    (tmp_path / "bad").write_bytes(pickle.dumps(content, protocol))
    with pytest.raises(ValueError, match=r"expected a file of CIFAR's .*bad, got: "):
        unpickle(tmp_path / "bad")
    assert not (tmp_path / "pwned").exists()


WHOLE = python_2_pickle({"data": np.arange(6, dtype=np.uint8).reshape(2, 3), "labels": [0, 1]})


def swapped(old, new):
    """The file with other opcodes."""
    assert WHOLE.count(old) == 1
    return WHOLE.replace(old, new)


SHAPE = b"(K\x01K\x02K\x03\x86"
HOSTILE = {
    "another function": (
        swapped(b"numpy\nndarray", b"os\nsystem"),
        "GLOBAL 'os system' where GLOBAL",
    ),
    "another type": (
        swapped(b"U\x02u1", b"U\x02f8"),
        "'f8' where .* 'u1' is expected",
    ),
    "columns first": (swapped(b"tb\x89", b"tb\x88"), "NEWTRUE where NEWFALSE is expected"),
    "too few bytes": (swapped(SHAPE, SHAPE.replace(b"K\x02", b"K\x09")), "shape .9, 3. of 6 bytes"),
    "a negative number of rows": (
        swapped(SHAPE, SHAPE.replace(b"K\x02", b"J\xfe\xff\xff\xff")),
        "shape .-2, 3. of 6 bytes",
    ),
    "a shape of words": (swapped(SHAPE, SHAPE.replace(b"K\x02", b"U\x01a")), "where a value is"),
    "a list in a list": (swapped(b"(K\x00K\x01e", b"(](K\x00ee"), "EMPTY_LIST where a value"),
    "what the memo has": (swapped(b"(K\x00K\x01e", b"(h\x01e"), "BINGET 1 where a value"),
    "a million opcodes": (b"\x80\x02}(" + b"N" * 1_100_000 + b"u.", "more than 1000000 opcodes"),
    "a long string": (b"\x80\x02}(T\xff\xff\xff\x7fabcu.", "only 5"),
    "a long number": (b"\x80\x02}(I" + b"9" * 5000 + b"\nu.", "got: "),
    "a list alone": (b"\x80\x02](K\x01e.", "EMPTY_LIST where EMPTY_DICT is expected"),
    "a key that is a number": (b"\x80\x02}(K\x01K\x02u.", "BININT1 1 where a value is expected"),
    "a key without a value": (b"\x80\x02}(U\x01au.", "SETITEMS where a value is expected"),
    "of Python 3": (
        pickle.dumps({"labels": [1, 2], "names": ["a"]}, 2),
        "BINUNICODE 'labels'",
    ),
    "two programs": (WHOLE[:-1] + b"}(u.", "EMPTY_DICT where STOP is expected"),
    "text": (b"<html>not found</html>", "got: "),
    "empty": (b"", "got: "),
    "no end": (WHOLE[:-1], "got: "),
    "more after the end": (WHOLE + b"xy", "got: 2 bytes after its end"),
}


@pytest.mark.parametrize(("data", "sentence"), HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_or_damaged_file_is_refused(tmp_path, data, sentence):
    (tmp_path / "bad").write_bytes(data)
    with pytest.raises(ValueError, match=sentence) as caught:
        unpickle(tmp_path / "bad")
    assert str(tmp_path / "bad") in str(caught.value)
    assert "get the file anew" in str(caught.value)


def test_a_changed_byte_is_refused_or_is_a_byte_of_the_data(tmp_path):
    """Every byte of a small file, each to three others: a dict of the same kinds, or a sentence."""
    path, refused = tmp_path / "a", 0
    for place in range(len(WHOLE)):
        for mask in (1, 0x80, 0xFF):
            path.write_bytes(WHOLE[:place] + bytes([WHOLE[place] ^ mask]) + WHOLE[place + 1 :])
            try:
                read = unpickle(path)
            except ValueError:
                refused += 1
            else:
                assert set(map(type, read.values())) <= {np.ndarray, list, str, int}
    assert refused > 300


def test_a_file_that_is_far_too_large_is_not_read(tmp_path):
    with (tmp_path / "large").open("wb") as file:
        file.truncate(LIMIT + 1)
    with pytest.raises(ValueError, match=f"at most {LIMIT} bytes in .*large, got {LIMIT + 1}"):
        unpickle(tmp_path / "large")


@pytest.mark.parametrize("size", [0, 1, 40, 100, 3000, 61_000])
def test_a_batch_cut_off_anywhere_is_refused(tmp_path, size):
    write_cifar_10(tmp_path)
    path = tmp_path / "data_batch_1"
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(Broken, match=r"expected a file of CIFAR's python .*data_batch_1"):
        load("cifar-10", tmp_path)


def without(key):
    batch = cifar_batch(20)
    del batch[key]
    return batch


@pytest.mark.parametrize(
    ("batch", "sentence"),
    [
        (without("labels"), "the keys data and labels in .*got none named labels"),
        (without("data"), "got none named data"),
        (cifar_batch(20, data=pixels(20, 3071)), r"of shape \(n, 3072\), got \(20, 3071\)"),
        (cifar_batch(20, data=[1, 2]), r"of shape \(n, 3072\), got list"),
        (cifar_batch(20, data=pixels(21, 3072)), "got 21 images and 20 labels"),
        (cifar_batch(20, labels=[10] * 20), r"labels in \[0, 10\) in .*got 10 to 10"),
        (cifar_batch(20, labels=[-1] * 20), r"labels in \[0, 10\) in .*got -1 to -1"),
        (cifar_batch(20, labels=["1"] * 20), "to be a list of whole numbers"),
        (cifar_batch(20, labels="1"), "to be a list of whole numbers"),
        (cifar_batch(0), "expected images in .*got none"),
    ],
)
def test_a_batch_that_is_not_as_published(tmp_path, batch, sentence):
    write_cifar_10(tmp_path)
    (tmp_path / "data_batch_1").write_bytes(python_2_pickle(batch))
    with pytest.raises(Broken, match=sentence) as caught:
        load("cifar-10", tmp_path)
    assert "data_batch_1" in str(caught.value)
    assert "is obtained from https://www.cs.toronto.edu" in str(caught.value)


@pytest.mark.parametrize("names", ["a", ["a"] * 9, ["a"] * 9 + [1]])
def test_names_that_are_not_ten_strings(tmp_path, names):
    write_cifar_10(tmp_path)
    (tmp_path / "batches.meta").write_bytes(python_2_pickle({"label_names": names}))
    with pytest.raises(Broken, match=r"label_names in .*batches\.meta to be a list of"):
        load("cifar-10", tmp_path)


def test_an_empty_folder_and_no_folder(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"expected data_batch_1, .* none of them; CIFAR-10"
    ):
        load("cifar-10", tmp_path)
    (tmp_path / "cifar-10-batches-py").mkdir()
    with pytest.raises(Broken, match="data_batch_1, got an empty folder"):
        load("cifar-10", tmp_path)
    with pytest.raises(ValueError, match=r"expected a folder with CIFAR-10 .*, got none"):
        load("cifar-10")
    with pytest.raises(ValueError, match="expected a data set to be one of digits, mnist"):
        load("imagenet", tmp_path)
