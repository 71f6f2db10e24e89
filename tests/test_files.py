"""Readers of JSON and TOML: whatever stands in a file, a value or a sentence that names it."""

import os
from importlib.util import find_spec
from pathlib import Path

import fuzz
import pytest

from gradreg_verify import files
from gradreg_verify.subject.locate import locate


def same(data):
    return data


def test_no_reader_fails_or_hangs_on_a_damaged_file():
    wrong = [trial for trial in fuzz.trials(220, 1) if trial[2]]
    assert wrong == []


def test_every_reader_is_among_those_that_are_damaged():
    """Whatever reads JSON or TOML in the packages does so by these two functions."""
    root = Path(files.__file__).parents[1]
    folders = ("gradreg_ref", "gradreg_verify", "backends", "cli", "experiments")
    sources = [path for folder in folders for path in (root / folder).rglob("*.py")]
    texts = {path.relative_to(root).as_posix(): path.read_text("utf-8") for path in sources}
    own = {name for name, text in texts.items() if "json.load" in text or "tomllib" in text}
    # A text that was just made, and the module itself.
    assert own == {"gradreg_verify/files.py", "experiments/gradreg_experiments/reproduce/record.py"}


@pytest.mark.skipif(not find_spec("torch"), reason="half of them need torch")
def test_the_damage_reaches_the_readers():
    """The right text of each is read, so that it is the damage that is refused."""
    for name, text, others, read in fuzz.readers():
        with fuzz.tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / name
            path.parent.mkdir(exist_ok=True)
            for other, content in others.items():
                (path.parent / other).write_text(content, encoding="utf-8")
            path.write_text("\ufeff" + text, encoding="utf-8")
            read(path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "Expecting value"),
        ("{", "Expecting property name"),
        ('{"a": 1, "b": 2, "a": 3}', "the key 'a' twice"),
        ('{"a": NaN}', "NaN, which is no finite number"),
        ('{"a": [-Infinity]}', "-Infinity, which is no finite number"),
        ("1e400", "1e400, which is no finite number"),
        pytest.param("[" * 100_000, "too deep in one another", id="deep"),
        ("[" * 65 + "]" * 65, "too deep in one another"),
        pytest.param("9" * 5000, "digits", id="digits"),
        pytest.param(" " * (files.MOST_JSON + 1), "more than 8388608 bytes", id="long"),
        (b"\xff\xfe1", "can't decode byte"),
    ],
)
def test_what_is_no_json_is_a_sentence(tmp_path, text, said):
    path = tmp_path / "a.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError, match=r"expected a table in .*; write another$") as caught:
        files.read_json(path, "a table", same, remedy="write another")
    assert f"expected a table in {path}, got: " in str(caught.value)
    assert said in str(caught.value)


def test_what_is_json_is_read(tmp_path):
    path = tmp_path / "a.json"
    deep = "[" * 64 + "]" * 64
    for text, value in (("\ufeff[1.5]", [1.5]), ('{"a": ""}', {"a": ""}), ("1e-400", 0.0)):
        path.write_text(text, encoding="utf-8")
        assert files.read_json(path, "a table", same) == value
    path.write_text(deep)
    assert str(files.read_json(path, "a table", same)) == deep
    path.write_text("[Infinity]")
    assert files.read_json(path, "a table", same, finite=False) == [float("inf")]


@pytest.mark.parametrize("error", [KeyError("x"), TypeError("y"), OverflowError("z")])
def test_whatever_comes_of_the_contents_is_a_sentence(tmp_path, error):
    path = tmp_path / "a.json"
    path.write_text("{}")

    def make(_):
        raise error

    with pytest.raises(ValueError, match=f"expected a table in {path}, got: ") as caught:
        files.read_json(path, "a table", make)
    assert str(caught.value).endswith("no 'x'" if isinstance(error, KeyError) else str(error))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a = nan", "nan, which is no finite number"),
        ("a = 1e999", "1e999, which is no finite number"),
        ("a = 1\na = 2", "Cannot overwrite"),
        pytest.param("a = " + "[" * 5000, "too deep in one another", id="deep"),
        pytest.param("#" * (files.MOST_TOML + 1), "more than 65536 bytes", id="long"),
    ],
)
def test_what_is_no_toml_is_a_sentence(tmp_path, text, said):
    (path := tmp_path / "a.toml").write_text(text)
    with pytest.raises(ValueError, match=rf"expected a run in {path}, got: .*{said}"):
        files.read_toml(path, "a run")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: None, "no such file or directory"),
        (Path.mkdir, "is a directory"),
        (os.mkfifo, "no regular file"),
        (lambda path: path.symlink_to("/dev/zero"), "no regular file"),
    ],
)
def test_what_is_no_file_keeps_nobody_waiting(tmp_path, make, said):
    make(path := tmp_path / "a")
    with pytest.raises(ValueError, match=f"expected a table in {path}, got: {said}"):
        files.read_json(path, "a table", same)


def test_a_large_file_is_no_python_file(tmp_path):
    """Python would read it whole. The file has no blocks on the disk."""
    (path := tmp_path / "penalty.py").touch()
    os.truncate(path, 4 << 30)
    with pytest.raises(ValueError, match=rf"a Python file of at most \d+ bytes, got '{path}'"):
        locate(f"{path}:penalty")
