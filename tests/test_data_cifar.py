"""CIFAR pickles: arrays are read, everything else is refused before it can do anything."""

import os
import pickle
import struct

import numpy as np
import pytest
from data_files import cifar_batch, pixels, write_cifar_10, write_cifar_100
from gradreg_experiments.data import Broken, load
from gradreg_experiments.data.pickles import LIMIT, unpickle


def test_cifar_10_is_read_batch_after_batch(tmp_path):
    fields = write_cifar_10(tmp_path / "cifar-10-batches-py", batches=(1, 2, 4))
    data = load("cifar-10", tmp_path)
    train = np.concatenate([fields[f"data_batch_{i}"][b"data"] for i in (1, 2, 4)])
    assert data.train_images.shape == (60, 3, 32, 32)
    np.testing.assert_array_equal(data.train_images.reshape(60, -1), train)
    np.testing.assert_array_equal(data.test_images.reshape(10, -1), fields["test_batch"][b"data"])
    np.testing.assert_array_equal(data.train_labels, list(range(10)) * 6)
    assert data.train_labels.dtype == np.int64
    assert data.train_images.dtype == np.uint8
    assert data.classes[3] == "class 3"
    names = ["data_batch_1", "data_batch_2", "data_batch_4", "test_batch", "batches.meta"]
    assert [file.path.name for file in data.files] == names


def test_red_comes_first_then_rows(tmp_path):
    batch = cifar_batch(1)
    batch[b"data"][0] = 0
    batch[b"data"][0, 1024 + 32 * 5 + 7] = 9  # green, row 5, column 7
    write_cifar_10(tmp_path)
    (tmp_path / "test_batch").write_bytes(pickle.dumps(batch, 3))
    assert np.argwhere(load("cifar-10", tmp_path).test_images).tolist() == [[0, 1, 5, 7]]


def test_cifar_100_has_its_fine_labels(tmp_path):
    fields = write_cifar_100(tmp_path / "cifar-100-python")
    data = load("cifar-100", tmp_path)
    np.testing.assert_array_equal(data.train_labels, fields["train"][b"fine_labels"])
    assert (len(data.classes), data.classes[99]) == (100, "class 99")


def test_without_meta_the_classes_are_numbers(tmp_path):
    write_cifar_10(tmp_path)
    (tmp_path / "batches.meta").unlink()
    data = load("cifar-10", tmp_path)
    assert data.classes == tuple("0123456789")
    assert "no file batches.meta: classes are numbers" in data.notes


@pytest.mark.parametrize("protocol", [2, 3, 4])
@pytest.mark.parametrize("order", "CF")
def test_python_3_writes_pickles_that_are_read(tmp_path, protocol, order):
    array = np.array(pixels(4, 6), order=order)
    fields = {"data": array, "labels": [0, 1, 2, 300], "names": ["a", b"b", 1.5, None]}
    (tmp_path / "a").write_bytes(pickle.dumps(fields, protocol))
    read = unpickle(tmp_path / "a")
    np.testing.assert_array_equal(read.pop("data"), array, strict=True)
    del fields["data"]
    assert read == fields


def published(module):
    """As Python 2 and an old NumPy wrote an array (2, 3) of bytes."""
    return (
        b"\x80\x02}q\x01(U\x04dataq\x02c" + module + b"\n_reconstruct\nq\x03cnumpy\nndarray\nq\x04"
        b"K\x00\x85U\x01b\x87Rq\x05(K\x01K\x02K\x03\x86cnumpy\ndtype\nq\x06U\x02u1K\x00K\x01\x87R"
        b"q\x07(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U\x06\x01\x02\x03\x04"
        b"\x05\x06tbu."
    )


@pytest.mark.parametrize("module", [b"numpy.core.multiarray", b"numpy._core.multiarray"])
def test_old_and_new_names_of_numpy(tmp_path, module):
    (tmp_path / "a").write_bytes(published(module))
    assert unpickle(tmp_path / "a")["data"].tolist() == [[1, 2, 3], [4, 5, 6]]


class Calls:
    """Pickled as a call."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    ("function", "arguments", "name"),
    [
        (os.system, ("touch pwned",), r"(posix|nt)\.system"),
        (eval, ("open('pwned', 'w')",), r"builtins\.eval"),
        (exec, ("open('pwned', 'w')",), r"builtins\.exec"),
        (getattr, ("", "join"), r"builtins\.getattr"),
        (np.load, ("pwned",), r"numpy\.load"),
        (np.zeros, ((1 << 30,),), r"numpy\.zeros"),
    ],
)
@pytest.mark.parametrize("protocol", [2, 4])
def test_a_pickle_that_calls_something_is_refused_by_name(
    tmp_path, monkeypatch, function, arguments, name, protocol
):
    monkeypatch.chdir(tmp_path)
    content = {"data": Calls(function, *arguments), "labels": []}
    (tmp_path / "bad").write_bytes(pickle.dumps(content, protocol))
    sentence = f"expected a pickle of arrays.* in .*bad, got: '.*{name}', forbidden"
    if protocol == 2:
        sentence = sentence.replace("builtins", "__builtin__")
    with pytest.raises(ValueError, match=sentence):
        unpickle(tmp_path / "bad")
    assert not (tmp_path / "pwned").exists()


def bomb(levels):
    """A tuple of itself twice, `levels` deep, as the key of a dict."""
    twice = b"".join(b"q" + bytes([i]) + b"h" + bytes([i]) + b"\x86" for i in range(levels))
    return b"\x80\x02}K\x01\x85" + twice + b"K\x00s."


HOSTILE = {
    "a memo of 64 GB": (b"\x80\x02}r\xff\xff\xff\xff.", "memo entry 4294967295 after 2 opcodes"),
    "a hash without end": (bomb(30), "16 objects used again"),
    "a deep tuple": (b"\x80\x02}K\x01" + b"\x85" * 200_000 + b"K\x00s.", "32 tuples"),
    "a million opcodes": (b"\x80\x02" + b"N" * 1_100_000 + b".", "1000000 opcodes"),
    "an extension": (b"\x80\x02}\x82\x01.", "opcode EXT1"),
    "a persistent id": (b"\x80\x02U\x01aQ.", "opcode BINPERSID"),
    "an instance": (b"(S'ls'\nios\nsystem\n.", "opcode"),
    "a long string": (b"\x80\x02}T\xff\xff\xff\x7fabc.", "only 4"),
    "a list": (pickle.dumps([1], 2), "a list in place of a dict"),
    "a key that is a number": (pickle.dumps({1: 2}, 2), "a key of type int"),
    "an array of objects": (
        pickle.dumps({"data": np.array([None, {}])}, 2),
        "another dtype than uint8",
    ),
    "an array of floats": (pickle.dumps({"data": np.zeros(3)}, 2), "another dtype than uint8"),
    "an array too short": (
        published(b"numpy.core.multiarray").replace(b"K\x02K\x03\x86", b"K\x09K\x03\x86"),
        "cannot reshape",
    ),
    "an array without shape": (
        published(b"numpy.core.multiarray").replace(b"K\x02K\x03\x86", b"U\x01a\x85"),
        "whose shape is no tuple",
    ),
    "an array without bytes": (
        published(b"numpy.core.multiarray").replace(b"U\x06\x01\x02\x03\x04\x05\x06", b"K\x01"),
        "whose bytes are of type int",
    ),
    "an array without state": (
        b"\x80\x02}U\x04datacnumpy\nndarray\n)Rs.",
        "an array without its bytes",
    ),
    "another codec": (
        b"\x80\x02}U\x01ac_codecs\nencode\nX\x01\0\0\0aU\x05utf-7\x86Rs.",
        "another codec than latin1",
    ),
    "a stand-in's method": (b"\x80\x04}U\x01a\x8c\x05numpy\x8c\x0edtype.__init__\x93s.", "forbid"),
    "text": (b"<html>not found</html>", "expected a pickle"),
    "empty": (b"", "expected a pickle"),
    "no end": (pickle.dumps({"a": 1}, 2)[:-1], "expected a pickle"),
    "more after the end": (pickle.dumps({"a": 1}, 2) + b"xy", "got: 2 bytes after its end"),
}


@pytest.mark.parametrize(("data", "sentence"), HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_or_damaged_pickle_is_refused(tmp_path, data, sentence):
    (tmp_path / "bad").write_bytes(data)
    with pytest.raises(ValueError, match=sentence) as caught:
        unpickle(tmp_path / "bad")
    assert str(tmp_path / "bad") in str(caught.value)
    assert "get the file anew" in str(caught.value)


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
    with pytest.raises(Broken, match=r"expected a pickle .*data_batch_1"):
        load("cifar-10", tmp_path)


def without(key):
    batch = cifar_batch(20)
    del batch[key]
    return batch


@pytest.mark.parametrize(
    ("batch", "sentence"),
    [
        (without(b"labels"), "the keys data and labels in .*got none named labels"),
        (without(b"data"), "got none named data"),
        (cifar_batch(20, data=pixels(20, 3071)), r"of shape \(n, 3072\), got \(20, 3071\)"),
        (cifar_batch(20, data=pixels(20, 3, 1024)), r"got \(20, 3, 1024\)"),
        (cifar_batch(20, data=[1, 2]), r"of shape \(n, 3072\), got list"),
        (cifar_batch(20, data=np.zeros((20, 3072))), "another dtype than uint8"),
        (cifar_batch(20, data=pixels(21, 3072)), "got 21 images and 20 labels"),
        (cifar_batch(20, labels=[10] * 20), r"labels in \[0, 10\) in .*got 10 to 10"),
        (cifar_batch(20, labels=[-1] * 20), r"labels in \[0, 10\) in .*got -1 to -1"),
        (cifar_batch(20, labels=[1.5] * 20), "to be a list of whole numbers"),
        (cifar_batch(20, labels=[True] * 20), "to be a list of whole numbers"),
        (cifar_batch(20, labels={}), "to be a list of whole numbers"),
        (cifar_batch(0), "expected images in .*got none"),
    ],
)
def test_a_batch_that_is_not_as_published(tmp_path, batch, sentence):
    write_cifar_10(tmp_path)
    (tmp_path / "data_batch_1").write_bytes(pickle.dumps(batch, 3))
    with pytest.raises(Broken, match=sentence) as caught:
        load("cifar-10", tmp_path)
    assert "data_batch_1" in str(caught.value)
    assert "is obtained from https://www.cs.toronto.edu" in str(caught.value)


@pytest.mark.parametrize("names", [None, [b"a"] * 9, [b"a"] * 9 + [1]])
def test_names_that_are_not_ten_strings(tmp_path, names):
    write_cifar_10(tmp_path)
    (tmp_path / "batches.meta").write_bytes(pickle.dumps({b"label_names": names}, 2))
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


def test_a_text_becomes_bytes_once(tmp_path):
    """A text that the program memoised, encoded again and again: 15 times the file, and 4 GB."""
    text = "a" * 100_000
    encoded = b"h\x00h\x01\x86R"  # _codecs.encode(text, latin1), text on the stack
    head = b"\x80\x02}(U\x01ac_codecs\nencode\nq\x02X" + struct.pack("<I", len(text))
    head += text.encode() + b"q\x00U\x06latin1q\x01\x86R"
    again = b"".join(b"U\x01" + bytes([i]) + b"h\x02" + encoded for i in range(98, 103))
    (tmp_path / "once").write_bytes(head + b"u.")
    (tmp_path / "again").write_bytes(head + again + b"u.")
    assert unpickle(tmp_path / "once") == {"a": text.encode()}
    with pytest.raises(ValueError, match="a text that becomes bytes more than once"):
        unpickle(tmp_path / "again")


def test_a_long_string_needs_no_more_memory_than_the_file(tmp_path):
    """BINBYTES of 2 GB in a file of a few bytes."""
    program = b"\x80\x03}C\x01aB" + struct.pack("<I", 2**31 - 1) + b"abcs."
    (tmp_path / "a").write_bytes(program)
    with pytest.raises(ValueError, match="only 5 remain"):
        unpickle(tmp_path / "a")
