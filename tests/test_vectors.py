"""Frozen vectors: exact encodings, recomputed values, and files that never change."""

import dataclasses
import hashlib
import json

import gradreg_cli as cli
import numpy as np
import pytest
import vector_mistakes
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gradreg_ref import networks
from gradreg_ref.networks import Network
from gradreg_verify import vectors
from gradreg_verify.mistakes import catalogue
from gradreg_verify.vectors import checking
from gradreg_verify.vectors.cases import LAYERS, compute, decode, encode, read_layer
from gradreg_verify.vectors.frozen import SCHEMA

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


# Of the mean over the batch, and a vector's value is the sum.
NOT_IN_VECTORS = {"the sum in place of the mean", "1/B² in place of 1/B", "sum over the batch"}
NOT_IN_VECTORS.add("half of it with probes of the inputs")  # which no vector has


@pytest.fixture
def folder(tmp_path):
    vectors.export(tmp_path)
    return tmp_path


def test_exported_vectors_hold(folder, capsys):
    assert cli.main(["vectors", "check", str(folder)]) == 0
    out = capsys.readouterr().out
    assert "0 differences; 82 vectors recomputed by the reference (2126 numbers; 22 vect" in out
    assert "0 files of results held against them (0 values, 0 numbers of gradients)" in out
    assert "no results yet" in out


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
    (sentence,) = vectors.check(folder).wrong
    assert "value: differs by" in sentence


def test_a_changed_file_is_seen(folder):
    path = folder / "v1.json"
    path.write_text(path.read_text() + "\n")
    assert vectors.check(folder).wrong == ["v1.json is not the file that was published"]


def test_results_of_another_language_are_held_against_the_vectors(folder, capsys):
    cases = json.loads(vectors.published("v1.json"))["cases"]
    results = [{"name": c["name"], "value": c["value"]} for c in cases]
    (folder / "mine.results.json").write_text(json.dumps({"results": results}))
    assert cli.main(["vectors", "check", str(folder)]) == 0
    out = capsys.readouterr().out
    assert "1 files of results held against them (82 values, 0 numbers of gradients)" in out
    assert "not compared: mine.results.json: no gradients, so the check sees no mistake" in out
    results[0] = results[0] | {"value": encode(decode(results[0]["value"]) / 2)}
    results.append({"name": "unheard of"})
    (folder / "mine.results.json").write_text(json.dumps({"results": results}))
    assert cli.main(["vectors", "check", str(folder)]) == 1
    out = capsys.readouterr().out
    assert f"mine.results.json: {cases[0]['name']}, value: differs by 5.0e-01" in out
    assert "no case 'unheard of'" in out
    assert "2 differences" in out


@pytest.fixture
def few(folder):
    """Vectors of the first network alone."""
    (folder / "mine.json").write_text(json.dumps({"cases": first_cases()}))
    (folder / "v1.json").unlink()
    return folder


def first_cases():
    return json.loads(vectors.published("v1.json"))["cases"][:9]


def all_results():
    cases = first_cases()
    return [{k: case[k] for k in ("name", "value", "gradient")} for case in cases]


def written(folder, results, **more):
    (folder / "mine.results.json").write_text(json.dumps({"results": results} | more))
    return vectors.check(folder)


def test_every_number_is_compared_and_counted(few):
    found = written(few, all_results())
    assert found.wrong == []
    assert found.values + found.gradients == found.recomputed == 9 * 28
    assert (found.values, found.not_compared) == (9, [])
    only = [result for result in all_results() if "frobreg" in result["name"]]
    found = written(few, only, penalties=["frobreg"])
    assert (found.wrong, found.values, found.gradients) == ([], 1, 27)
    (said,) = found.not_compared
    assert "no results of confidence_penalty, doubleback, jacreg, onehot, spectreg, wei" in said


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda r: r[1:], "no result of the case '00-frobreg'"),
        (lambda r: r[:1], "no result of the case '00-weight_decay'"),
        (lambda r: [*r, {"name": "x"}], "no case 'x'"),
        (lambda r: [r[0] | {"value": {"shape": [], "hex": ["nan"]}}, *r[1:]], "differs by nan"),
        (lambda r: [r[0] | {"value": {"shape": [], "hex": ["inf"]}}, *r[1:]], "differs by inf"),
    ],
)
def test_what_is_missing_or_wrong_fails(few, change, said):
    assert any(said in sentence for sentence in written(few, change(all_results())).wrong)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda r: [], "no entry in 'results'"),
        (lambda r: [*r, r[0]], "the name '00-frobreg' twice"),
        (lambda r: [{"name": e["name"], "valeu": e["value"]} for e in r], "without 'value'"),
        (lambda r: [r[0] | {"gradeint": 1}, *r[1:]], "with the key 'gradeint'"),
        (lambda r: [*r[:-1], {k: r[-1][k] for k in ("name", "value")}], "without 'gradient'"),
        (lambda r: [*r[:-1], "x"], "string indices|is no object"),
    ],
)
def test_a_file_of_results_that_says_too_little_is_refused(few, change, said):
    with pytest.raises(ValueError, match=said) as caught:
        written(few, change(all_results()))
    assert f"expected results in {few}" in str(caught.value)


def test_a_known_mistake_is_named(few):
    results = all_results()
    for what in ("value", "gradient"):
        results[0][what] = encode(decode(results[0][what]) / 2)
    said = written(few, results).wrong
    assert len(said) == 2
    assert all(
        sentence.endswith("; a known mistake has this number: half of it") for sentence in said
    )


def in_file(name):
    return json.loads(vectors.published(name))


def test_the_named_mistakes_are_those_that_change_the_numbers():
    """Every mistake is planted in every vector."""
    assert vector_mistakes.text("v1.json") == vectors.published("v1.mistakes.json"), (
        "run python tests/vector_mistakes.py"
    )


def test_every_vector_catches_a_mistake_and_every_mistake_is_caught():
    """But for those that need a mean, probes of the inputs, or an R of the user's own."""
    found = in_file("v1.mistakes.json")
    assert [v["name"] for v in found["vectors"]] == [c["name"] for c in in_file("v1.json")["cases"]]
    assert all(v["value"] and v["gradient"] for v in found["vectors"])
    expected = {
        (w.penalty, w.name)
        for w in catalogue.WRONG
        if w.penalty != "contract" and w.name not in NOT_IN_VECTORS
    }
    assert {(m["penalty"], m["name"]) for m in found["mistakes"]} == expected


PLANTED = [
    ("frobreg", "no graph", ["gradient"]),
    ("frobreg", "‖J‖, the norm and not its square", ["value", "gradient"]),
    ("jacreg", "‖J‖²", ["value", "gradient"]),
    ("doubleback", "‖Jᵀ(p − y), p constant‖²", ["gradient"]),
]


@pytest.mark.parametrize(("penalty", "name", "changes"), PLANTED)
def test_a_planted_mistake_fails_the_vectors_that_name_it(few, penalty, name, changes):
    (wrong,) = (w for w in catalogue.WRONG if (w.penalty, w.name) == (penalty, name))
    cases = [case for case in first_cases() if case["penalty"] == penalty]
    made = [compute(case, wrong.formula) for case in cases]
    results = [
        {"name": case["name"], "value": encode(value), "gradient": encode(gradient)}
        for case, (value, gradient) in zip(cases, made, strict=True)
    ]
    found = written(few, results, penalties=[penalty])
    named = [
        f"mine.results.json: {vector['name']}, {what}: differs"
        for vector in in_file("v1.mistakes.json")["vectors"]
        for what in changes
        if vector["name"] in {case["name"] for case in cases} and name in vector[what]
    ]
    assert named
    assert sorted(sentence.split(" by ")[0] for sentence in found.wrong) == sorted(named)
    assert all(
        sentence.endswith(f"; a known mistake has this number: {name}") for sentence in found.wrong
    )


def keys_of(definition):
    """What a definition of the schema requires, and what it allows."""
    assert definition["additionalProperties"] is False
    return set(definition["required"]), set(definition["properties"])


def test_the_schema_asks_for_the_keys_that_the_check_asks_for():
    schema = in_file(SCHEMA)["$defs"]
    needed = checking.NEEDED
    assert keys_of(schema["case"]) == (needed, needed | {"probes"})
    assert keys_of(schema["vectors"]) == ({"cases"}, {"cases", "format", "about"})
    assert keys_of(schema["results"]) == ({"results"}, {"results", "penalties", "about"})
    assert keys_of(schema["result"]) == ({"name", "value"}, {"name", "value", "gradient"})
    found = in_file("v1.mistakes.json")
    assert keys_of(schema["mistakes"]) == (set(found), set(found))
    for key, entry in (("mistakes", "mistake"), ("vectors", "caught")):
        assert all(keys_of(schema[entry]) == (set(one), set(one)) for one in found[key])


def test_the_schema_knows_every_layer_and_its_fields():
    layers = in_file(SCHEMA)["$defs"]["layer"]["oneOf"]
    assert [one["properties"]["type"]["const"] for one in layers] == list(LAYERS)
    for one in layers:
        layer = getattr(networks, one["properties"]["type"]["const"])
        fields = dataclasses.fields(layer)
        optional = {f.name for f in fields if f.default is not dataclasses.MISSING}
        names = {"type", *(f.name for f in fields)}
        assert keys_of(one) == (names - optional, names)


def test_a_part_that_is_not_there_is_refused(few):
    with pytest.raises(ValueError, match=r"penalties \['frob'\], where the vectors have"):
        written(few, all_results(), penalties=["frob"])


def test_a_case_in_two_files_is_seen(few):
    (few / "v2.json").write_text((few / "mine.json").read_text())
    assert len(vectors.check(few).wrong) == 9


CONVOLUTION = {"type": "Conv2d", "weight": encode(np.ones((1, 1, 1, 1))), "padding": 10**6}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.pop("x"), "00-frobreg: a case without 'x'"),
        (lambda c: c.update(probess=[]), "a case with the key 'probess'"),
        (lambda c: c.update(options={"losss": 1}), "losss"),
        (lambda c: c.update(exact=1), "expected exact to be true or false"),
        (lambda c: c["x"].update(over=41), "expected a whole number up to 40, got 41"),
        (lambda c: c["x"].update(integers=[1.5] * 4), "expected a whole number .* got 1.5"),
        (lambda c: c["x"].update(hex=["1.5"] * 4), "expected a number in hexadecimal"),
        (lambda c: c["layers"].append(CONVOLUTION), "expected padding of Conv2d"),
        (lambda c: c.update(x=encode(np.zeros((1, 301)))), "at most 300 numbers|inputs with shape"),
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


@pytest.mark.parametrize(
    "text",
    ["{", "[]", '{"cases": [{}]}', '{"cases": 3}', '{"cases": []}', '{"case": [], "cases": []}'],
)
def test_what_is_no_file_of_vectors_is_a_sentence(folder, text, capsys):
    (folder / "other.json").write_text(text)
    assert cli.main(["vectors", "check", str(folder)]) == 2
    assert f"expected vectors in {folder / 'other.json'}, got: " in capsys.readouterr().err


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
