"""A description of a run is checked before anything runs."""

import re
import subprocess
import sys
import tomllib
from dataclasses import MISSING, fields, replace
from pathlib import Path

import gradreg_torch as gt
import pytest
from gradreg_experiments.runs import Run, from_toml, one, train
from gradreg_experiments.runs.store import Store
from runs.common import RUN, request


@pytest.mark.parametrize("name", ["seeds", "jobs"])
def test_a_number_of_seeds_that_fills_the_memory_is_refused(tmp_path, name):
    with pytest.raises(ValueError, match=f"expected --{name} of at most 1000, got {10**12}"):
        one.run_all(RUN, request(Store(tmp_path), **{name: 10**12}))


def test_a_file_that_begins_with_a_byte_order_mark_is_read(tmp_path):
    path = tmp_path / "run.toml"
    path.write_text(WHOLE, encoding="utf-8-sig")
    assert from_toml(path).train == 60


def test_a_file_that_is_not_there_is_said_before_torch_is_imported(tmp_path):
    script = (
        "import sys\nfrom gradreg_cli import train\nfrom pathlib import Path\n"
        "from types import SimpleNamespace\n"
        "try:\n    train.run(SimpleNamespace(file=Path('nope.toml')))\n"
        "except ValueError as error:\n    print(error, 'torch' in sys.modules)\n"
    )
    said = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True)
    expected = b"expected a run in TOML in nope.toml, got: no such file or directory False\n"
    assert said.stdout == expected


BAD = {
    "a word": ({"lam": "much"}, "expected lam to be a float, got 'much'"),
    "true for a number": ({"train": True}, "expected train to be a int, got True"),
    "a negative": ({"penalty": "spectreg", "lam": -1.0}, "expected lam >= 0, got -1"),
    "no number": ({"learning_rate": float("nan")}, "expected learning_rate > 0, got nan"),
    "too large a batch": ({"batch": 100}, "expected batch <= train = 60, got 100"),
    "an unknown penalty": ({"penalty": "spectral"}, "expected penalty to be one of none, spectreg"),
    "lam for nothing": ({"lam": 0.1}, "expected a penalty for lam"),
    "an unknown option": (
        {"penalty": "spectreg", "options": {"prob": "onehot"}},
        "expected an option of spectreg to be one of batchnorm, chunk_size, every",
    ),
    "labels needed": (
        {"penalty": "doubleback", "unlabelled": 5},
        "expected unlabelled = 0 for doubleback, which needs labels",
    ),
    "an integer of 400 digits": ({"confidence": 10**400}, "expected confidence below 2.63, got a"),
    "a seed of 400 digits": ({"seed": 10**400}, "expected seed below 2.63, got a number of 401"),
    "a fraction with dropout": (
        {"penalty": "spectreg", "dropout": True, "options": {"fraction": 0.5}},
        "expected fraction = 1 with dropout, as a mask belongs to the rows of a whole batch",
    ),
    "a fraction and unlabelled images": (
        {"penalty": "spectreg", "unlabelled": 40, "options": {"fraction": 0.5}},
        "expected fraction = 1 with unlabelled",
    ),
    "a compiled step in two": (
        {"penalty": "spectreg", "compile": True, "options": {"every": 2}},
        "expected every = 1 with compile, as a step is compiled once",
    ),
    "a width of the LeNet": ({"width": 2}, "expected no width with network = 'lenet'"),
    "an unknown network": ({"network": "lnet"}, "expected network to be one of lenet, residual"),
    "unknown data": ({"data": "mnsit"}, "expected data to be one of digits, mnist"),
    "fewer unlabelled ones than a step takes": (
        {"penalty": "spectreg", "unlabelled": 5},
        "expected unlabelled = 0 or >= batch = 12",
    ),
}

for option, value, said in (
    ("shared_probe", "yes", "expected shared_probe=True or False, got 'yes'"),
    ("shared_probe", 1, "expected shared_probe=True or False, got 1"),
    ("probe", "gausian", "expected probe to be one of gaussian, "),
    ("mode", "backwards", "expected mode to be one of auto, "),
    ("batchnorm", True, "expected batchnorm to be one of batch, "),
    ("fraction", 5, "expected fraction in "),
    ("every", 0.5, "expected every to be a whole number"),
    ("num_probes", 0, "expected num_probes to be a whole number"),
    ("chunk_size", True, "expected chunk_size to be a whole number"),
):
    BAD[f"{option} = {value}"] = {"penalty": "spectreg", "options": {option: value}}, said


@pytest.mark.parametrize("name", BAD)
def test_a_run_that_cannot_be_is_a_sentence(name):
    changes, said = BAD[name]
    with pytest.raises((ValueError, TypeError), match=said):
        replace(RUN, **changes)


WHOLE = "data = 'digits'\ntrain = 60\nnetwork = 'lenet'\nseed = 1\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("data = ", "expected a run in TOML"),
        ("data = 'digits'\nlambda = 1", "expected a key of .* to be one of data"),
        ("data = 'digits'", "expected train, network, seed in"),
        ("data = 'digits'\ntrain = 'all'\nnetwork = 'lenet'\nseed = 1", "expected train to be"),
        (f"data = {'[' * 5000}{']' * 5000}", "expected a run in TOML"),
        (f"seed = {'9' * 5000}", "expected a run in TOML"),
        (f"{WHOLE}lam = {'9' * 400}", "expected lam below 2.63, got a number of 400 digits"),
        (f"{WHOLE}penalty = 'spectreg'\n[options]\nfraction = 'a'", "expected fraction in"),
        (f"{WHOLE}penalty = 'spectreg'\n[options]\nshared_probe = 'yes'", "shared_probe=True or"),
    ],
)
def test_a_bad_file_is_named(tmp_path, text, said):
    path = tmp_path / "run.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=said) as caught:
        from_toml(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("num_probes", [10, 10**11])
def test_more_probes_than_the_exact_value_takes_are_refused(num_probes):
    run = replace(RUN, penalty="spectreg", options={"num_probes": num_probes})
    with pytest.raises(ValueError, match=r"expected num_probes < 10, got 10.*use frobreg"):
        train([run])


def test_the_keys_of_a_file_are_on_the_page():
    page = (Path(__file__).parents[2] / "docs" / "experiments.md").read_text(encoding="utf-8")
    lines = re.findall(
        r"^\| (`.*?) \| .* \| (.*) \|$", page.split("The keys are:")[1], re.MULTILINE
    )
    said = {}
    for names, defaults in lines:
        keys, values = re.findall(r"`(.*?)`", names), re.findall(r"`(.*?)`", defaults)
        values = values or [defaults]
        said |= dict(zip(keys, values * (len(keys) if len(values) == 1 else 1), strict=True))
    for field in fields(Run):
        if field.name == "options":
            assert said["[options]"] == "none"
        elif field.default is MISSING:
            assert said[field.name] == "required"
        else:
            assert tomllib.loads(f"x = {quoted(said[field.name])}")["x"] == field.default


def quoted(word):
    """As a value of TOML."""
    return word if re.fullmatch(r'[\d.]+|true|false|""', word) else f'"{word}"'


def test_ids_are_of_choices_alone():
    assert replace(RUN, lam=0, confidence=1).id == replace(RUN, confidence=1.0).id
    assert replace(RUN, seed=2).id != RUN.id


@pytest.mark.parametrize("penalty", [gt.SpectReg, gt.JacReg])
def test_options_are_those_of_the_penalty(penalty):
    name = penalty.__name__.lower()
    for option in ("probe", "num_probes", "shared_probe", "mode", "every"):
        value = {"probe": "sphere", "mode": "reverse", "shared_probe": True}.get(option, 1)
        drawn = {"num_probes": 1} if penalty is gt.JacReg else {}  # without them, JacReg is exact
        assert replace(RUN, penalty=name, options=drawn | {option: value})


@pytest.mark.parametrize("other", [{"dropout": True}, {"unlabelled": 40}])
def test_a_fraction_of_1_is_what_a_refusal_asks_for(other):
    run = replace(RUN, iterations=2, penalty="spectreg", lam=0.1, **other)
    (whole,), _ = train([run])
    (outcome,), _ = train([replace(run, options={"fraction": 1})])
    assert replace(outcome, run=run, seconds=0) == replace(whole, seconds=0)


def test_the_ways_to_train():
    shared = {"shared_probe": True, "probe": "rademacher", "num_probes": 2}
    for changes in (
        {"penalty": "spectreg", "options": shared},
        {"penalty": "spectreg", "options": {"mode": "forward"}},
        {"penalty": "jacreg", "options": {"every": 2}},
        {"amp": "bfloat16", "penalty": "spectreg"},
    ):
        (outcome,), _ = train([replace(RUN, iterations=2, **changes)])
        assert outcome.diverged is None


def test_a_network_that_does_not_fit_the_images_is_a_sentence():
    for changes in ({"network": "residual"}, {"dropout": True, "batch_norm": True}):
        with pytest.raises(ValueError, match="expected images of"):
            train([replace(RUN, **changes)])
