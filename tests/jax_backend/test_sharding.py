"""Four devices: a sharded batch gives the numbers of one device, and mistakes are seen."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).with_name("devices.py")
# exp, log and the normal distribution round; all else is exact on whole numbers.
ROUNDED = ("doubleback", "jacreg", "confidence_penalty", "drawn")
EXACT = ("doubleback, squares", "spectreg, signs")
# Logits, a product forth and one back, the gradient of these, and the sum over the batch: the
# additions that a number passes through, each of half an ulp.
N, I, H, M = 8, 6, 8, 4
LIMIT = (4 * (I + H + M) + N * I) * 2.0**-53
LAYOUTS = ("data", "data, explicit", "data and weights")
PAGE = Path(__file__).parents[2] / "docs" / "jax.md"
(TABLE,) = re.findall(
    r"<!-- devices -->\n\n.*?\n\|---.*?\n(.*?)\n\n<!-- end -->", PAGE.read_text("utf-8"), re.DOTALL
)
ROWS = {name: cells for name, *cells in (row[2:-2].split(" | ") for row in TABLE.splitlines())}

pytestmark = pytest.mark.xdist_group("jax")


@pytest.fixture(scope="module")
def found():
    """In a process of its own: the number of devices is read when jax is imported."""
    done = subprocess.run(
        [sys.executable, str(SCRIPT)],
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ | {"OMP_NUM_THREADS": "1", "JAX_PLATFORMS": "cpu"},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout)
    assert found["devices"] == 4
    return found


def limit(penalty):
    """What value and gradient may differ by, relative to the largest entry."""
    rounded = any(word in penalty for word in ROUNDED) and penalty not in EXACT
    return LIMIT if rounded else 0.0


def wrong(found, group):
    """The penalties of a group whose value or gradient is not that of one device."""
    cases = {k.removeprefix(group): e for k, e in found.items() if k.startswith(group)}
    assert cases
    return {k: e for k, e in cases.items() if not max(e) <= limit(k)}


def repeats(probes):
    """Whether any two examples of the batch share their probes."""
    return len(np.unique(np.asarray(probes), axis=0)) < N


def said(error):
    """Of value and gradient, what the table of docs/jax.md says."""
    value, gradient = error
    if value != 0:
        return "wrong in value"
    return {0: "right", 3: "4 times"}.get(gradient, "wrong")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_sharded_batch_gives_the_numbers_of_one_device(found, layout):
    assert not wrong(found, f"{layout} · ")


def test_the_shards_are_parts(found):
    """Else nothing above is about sharding."""
    whole, half = {"x": [2, I], "W": [I, H]}, {"x": [2, I], "W": [I, H // 4]}
    assert [found[f"shards · {layout}"] for layout in LAYOUTS] == [whole, whole, half]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_one_key_gives_the_probes_of_one_device(found, layout):
    same = {k: v for k, v in found.items() if k.startswith(f"probes · {layout} · ")}
    assert len(same) == 5
    assert all(same.values()), same


def test_means_over_devices_are_means_over_the_batch(found):
    assert not wrong(found, "mapped · ")


@pytest.mark.parametrize("row", ROWS)
def test_the_table_says_where_the_gradient_is_right(found, row):
    """On whole numbers there is no rounding: right is 0, four times as much an error of 3."""
    assert ROWS[row] == [said(found[f"{row} · {checked}"]) for checked in (True, False)]


def test_the_table_has_every_row(found):
    assert {f"{row} · True" for row in ROWS} == {k for k in found if k.endswith(" · True")}


@pytest.mark.parametrize("row", ROWS)
def test_a_sum_in_place_of_the_mean_is_seen(found, row):
    assert said(found[f"mistake · psum · {row}"]) == "wrong in value"


def test_the_page_s_own_code_on_four_devices(found):
    """Its inputs are float32: 64 roundings."""
    assert max(found["page"]) < 2.0**-18


def test_every_device_draws_probes_of_its_own(found):
    assert not repeats(found["own keys"])
    assert found["own keys"] == found["keys folded"], "they follow from the seed"
    assert max(found["replayed · own keys"]) <= LIMIT, "and are those the penalty takes"


def test_one_key_on_every_device_is_seen(found):
    probes = found["mistake · one key"]
    assert repeats(probes)
    assert np.ptp(np.reshape(probes, (4, -1)), axis=0).max() == 0, "four times the same"
    assert max(found["replayed · mistake · one key"]) <= LIMIT
