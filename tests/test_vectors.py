"""Frozen vectors: exact encodings, recomputed values, and files that never change."""

import hashlib
import json

import gradreg_cli as cli
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gradreg_ref.networks import Network
from gradreg_verify import vectors
from gradreg_verify.vectors.cases import compute, read_layer
from gradreg_verify.vectors.numbers import decode, encode

# A published file never changes: a new one gets a new name and a new line.
DIGESTS = {"v1.json": "1d05b548cef803c8daaa7a5df74c4032947c9ce30c884c34512b1e5bc57e0893"}


def test_published_files_are_as_published():
    digests = {n: hashlib.sha256(vectors.published(n).encode()).hexdigest() for n in DIGESTS}
    assert digests == DIGESTS
    assert set(DIGESTS) == set(vectors.PUBLISHED)


@given(
    arrays(float, st.sampled_from([(), (0,), (3,), (2, 2)]), elements=st.floats(allow_nan=False))
)
def test_encoding_loses_nothing(a):
    if np.isfinite(a).all():
        again = decode(json.loads(json.dumps(encode(a))))
        np.testing.assert_array_equal(again, a)


def test_dyadic_numbers_are_integers():
    data = encode(np.array([0.25, -1.5]))
    assert data == {"shape": [2], "integers": [1, -6], "over": 2}


@pytest.fixture
def folder(tmp_path):
    vectors.export(tmp_path)
    return tmp_path


def test_exported_vectors_hold(folder, capsys):
    assert cli.main(["vectors", "check", str(folder)]) == 0
    assert "0 differences" in capsys.readouterr().out


def edited(folder, change):
    """A copy of the first cases under another name, after a change to the first."""
    cases = json.loads((folder / "v1.json").read_text())["cases"][:2]
    change(cases[0])
    (folder / "v1.json").unlink()
    (folder / "mine.json").write_text(json.dumps({"cases": cases}))


def test_a_changed_number_is_seen(folder):
    def change(case):
        value = decode(case["value"])
        case["value"] = encode(np.nextafter(value, np.inf))

    edited(folder, change)
    (sentence,) = vectors.check(folder)
    assert "value: differs by" in sentence


def test_a_changed_file_is_seen(folder):
    path = folder / "v1.json"
    path.write_text(path.read_text() + "\n")
    assert vectors.check(folder) == ["v1.json is not the file that was published"]


def test_results_of_another_language_are_held_against_the_vectors(folder, capsys):
    cases = json.loads(vectors.published("v1.json"))["cases"]
    results = [{"name": c["name"], "value": c["value"]} for c in cases]
    results[0] = results[0] | {"value": encode(decode(results[0]["value"]) / 2)}
    results.append({"name": "unheard of"})
    (folder / "mine.results.json").write_text(json.dumps({"results": results}))
    assert cli.main(["vectors", "check", str(folder)]) == 1
    out = capsys.readouterr().out
    assert f"mine.results.json: {cases[0]['name']}, value: differs by 5.0e-01" in out
    assert "no case 'unheard of'" in out


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.pop("x"), "expected layers, x, y, penalty and options"),
        (lambda c: c.update(penalty="ridge"), "expected a penalty among"),
        (lambda c: c["layers"].append({"type": "os"}), "expected a layer of type"),
        (lambda c: c["x"]["shape"].append(7), "numbers for shape"),
        (lambda c: c.update(x=3), "expected an array of shape"),
    ],
)
def test_what_is_no_case_is_a_sentence(folder, change, message):
    edited(folder, change)
    with pytest.raises(ValueError, match=message):
        vectors.check(folder)


@pytest.mark.parametrize("text", ["{", "[]", '{"cases": [{}]}', '{"cases": 3}'])
def test_what_is_no_file_of_vectors_is_a_sentence(folder, text, capsys):
    (folder / "other.json").write_text(text)
    assert cli.main(["vectors", "check", str(folder)]) == 2
    assert "expected {'cases'" in capsys.readouterr().err


def test_an_empty_folder_and_none(tmp_path, capsys):
    assert cli.main(["vectors", "check", str(tmp_path)]) == 2
    assert cli.main(["vectors", "check", str(tmp_path / "none")]) == 2
    assert "expected a folder of vectors" in capsys.readouterr().err


def test_every_penalty_has_cases():
    cases = json.loads(vectors.published("v1.json"))["cases"]
    assert {c["penalty"] for c in cases} >= {
        "frobreg",
        "spectreg",
        "doubleback",
        "jacreg",
        "onehot",
    }
    assert any(c["exact"] for c in cases)


def test_other_backends_agree_with_the_vectors(target):
    """The vectors are not the loopback's alone: a smooth case by every backend."""
    cases = json.loads(vectors.published("v1.json"))["cases"]
    case = next(c for c in cases if c["penalty"] == "frobreg" and not c["exact"])
    value, _ = compute(case)
    network = Network(tuple(map(read_layer, case["layers"])))
    got = target.backend.value("frobreg", network, decode(case["x"]), reduction="sum")
    np.testing.assert_allclose(got, value, rtol=1e-11)
