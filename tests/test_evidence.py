"""The record of e-values: the right product, and no product of a wrong record."""

import json
from math import isclose

import pytest

from gradreg_verify.claims.draws import Evidence
from gradreg_verify.report import e_values
from gradreg_verify.report.report import Report

HALF = {"seed": 1, "p": 0.25, "tests": 30}


def run(seed, p):
    """A report whose tests of samplers came to p."""
    evidence = Evidence(tests=30, least=p, draws=4000)
    named = {"target": "f", "declared": "spectreg", "tier": "", "framework": "", "device": "cpu"}
    return Report(**named, dtypes=(), seed=seed, results=(), evidence=evidence)


@pytest.mark.parametrize(
    ("runs", "p", "e", "refuted"),
    [
        (1, 1.0, "0.5", False),
        (3, 1 / 4, "1", False),
        (3, 1 / 16, "8", False),
        (1, 2.0**-42, "1.05e+06", True),  # 2^20
        (4, 1e-300, "6.25e+598", True),  # 10^600 / 16
        (2, 0.0, "2.5e+299", True),  # as 1e-300: a float has no room for less
        (1100, 1.0, "7.36e-332", False),  # 2^-1100
    ],
)
def test_e_is_the_product_of_one_over_twice_the_root_of_p(tmp_path, runs, p, e, refuted):
    path = tmp_path / "e.json"
    record = [{"seed": s, "p": max(p, 1e-300), "tests": 30} for s in range(runs - 1)]
    path.write_text(json.dumps({"f (spectreg)": record}))
    said = f"E = {e} after {runs} runs; {'' if refuted else 'not '}refuted at 1/α = 1e+06"
    assert e_values.accumulate(path, run(runs, p)) == (said, refuted)
    assert len(json.loads(path.read_text())["f (spectreg)"]) == runs


def test_digits_are_those_of_the_exponential():
    for x in (-3.0, 0.0, 12.5, 699.9, 700.1, -700.1, 2302.585092994046):  # the last is log 10^1000
        mantissa, _, tens = e_values.in_digits(x).partition("e")
        digits = float(mantissa) * 10.0 ** (int(tens or 0) - x / 2.302585092994046)
        assert isclose(digits, 1, rel_tol=5e-3)
    assert e_values.in_digits(2302.585092994046) in ("1.00e+1000", "1e+1000")


@pytest.mark.parametrize(
    "wrong",
    [
        *({"p": p} for p in (0, -0.1, 1.1, "0.5", None, True, [0.5])),
        *({"seed": seed} for seed in ("1", 1.0, None, True)),
    ],
)
def test_a_run_that_is_none_is_refused(tmp_path, wrong):
    path = tmp_path / "e.json"
    text = json.dumps({"f (spectreg)": [HALF | wrong]})
    path.write_text(text)
    with pytest.raises(ValueError, match=f"expected a record of earlier runs in {path}, got: "):
        e_values.accumulate(path, run(2, 0.5))
    assert path.read_text() == text


@pytest.mark.parametrize("p", ["NaN", "1e400", "Infinity", "-1e400"])
def test_a_p_that_is_no_number_is_refused(tmp_path, p):
    path = tmp_path / "e.json"
    path.write_text(f'{{"f": [{{"seed": 1, "p": {p}, "tests": 30}}]}}')
    with pytest.raises(ValueError, match="which is no finite number; delete it"):
        e_values.read(path)


def test_a_seed_twice_is_one_run_that_counts_twice(tmp_path):
    path = tmp_path / "e.json"
    path.write_text(json.dumps({"f": [HALF, HALF]}))
    with pytest.raises(ValueError, match="a seed of f twice"):
        e_values.read(path)


def test_a_sampler_that_gives_no_p_value_adds_nothing(tmp_path):
    path = tmp_path / "e.json"
    with pytest.raises(ValueError, match="p = nan of f"):
        e_values.accumulate(path, run(1, float("nan")))
    assert not path.exists()
