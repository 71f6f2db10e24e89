"""Probes orthogonal across the batch: their structure, their exact moments, what they cannot do."""

import json
from pathlib import Path

import gradreg_torch as gt
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from several_probes import orthogonal_frames

from gradreg_ref import moments
from gradreg_ref.probes import draw

ROOT = Path(__file__).parents[1]
QUARTERS = st.integers(-8, 8).map(lambda k: k / 4)


@pytest.mark.parametrize("n", [1, 4, 5, 7, 13])
@pytest.mark.parametrize("q", [1, 2, 3])
def test_the_probes_of_a_group_are_orthogonal(n, q):
    m, group = 7, 7 // q
    r = draw("frames", np.random.default_rng(0), n, m, q)
    assert r.shape == (n, m, q)
    for start in range(0, n, group):
        probes = r[start : start + group].transpose(0, 2, 1).reshape(-1, m)
        np.testing.assert_allclose(probes @ probes.T, m * np.eye(len(probes)), atol=1e-12)


def test_groups_are_independent():
    """Of two matrices, not of one used twice."""
    r = draw("frames", np.random.default_rng(0), 6, 3)
    assert np.abs(r[:3] - r[3:]).max() > 0.1


def matrices(n, m):
    return arrays(float, (n, m, m), elements=QUARTERS, fill=st.nothing()).map(
        lambda G: np.einsum("nki,nli->nkl", G, G)
    )


@pytest.mark.parametrize(("n", "m", "q"), [(1, 2, 1), (2, 2, 1), (1, 3, 2), (2, 3, 1), (3, 3, 1)])
@given(data=st.data())
def test_the_variance_of_a_group_exactly(n, m, q, data):
    """By the rotations of a pentagon or an icosahedron, which are Haar up to degree 4."""
    A = data.draw(matrices(n, m))
    Q = orthogonal_frames(m, m)[:, :, : n * q].reshape(-1, m, n, q)
    sums = np.einsum("gknq,nkl,glnq->g", Q, A, Q) / q
    assert sums.mean() == pytest.approx(moments.mean(A).sum(), rel=1e-12, abs=1e-12)
    scale = float((A * A).sum())
    expected = float(moments.group_variance(A, q))
    assert sums.var() == pytest.approx(expected, rel=1e-11, abs=1e-12 * (1 + scale))


def test_examples_with_one_A_cancel_each_other_s_noise():
    """A full group with equal A has the sum m tr A in every draw."""
    G = np.random.default_rng(1).normal(size=(10, 4))
    A = np.broadcast_to(G @ G.T, (10, 10, 10))
    r = draw("frames", np.random.default_rng(2), 10, 10)[:, :, 0]
    total = np.einsum("nk,nkl,nl->", r, A, r)
    assert total == pytest.approx(10 * np.trace(A[0]), rel=1e-12)
    assert float(moments.batch_mean_variance(A, "frames")) < 1e-20


def test_never_much_worse_than_the_sphere():
    """At worst m/(m−1) of its variance, where the traceless parts add up to nothing."""
    m = 5
    A = np.stack([np.diag([1.0, 0, 0, 0, 0]), np.diag([-1.0, 0, 0, 0, 0])])
    worst = moments.batch_mean_variance(A, "frames") / moments.batch_mean_variance(A, "sphere")
    assert float(worst) == pytest.approx(m / (m - 1), rel=1e-12)


def test_a_batch_is_its_groups():
    A = np.random.default_rng(3).normal(size=(7, 3, 3))
    groups = [moments.group_variance(A[b : b + 3], 1) for b in (0, 3, 6)]
    assert float(moments.batch_mean_variance(A, "frames")) == pytest.approx(sum(groups) / 49)
    shared = moments.batch_mean_variance(A, "frames", shared_probe=True)
    assert float(shared) == pytest.approx(
        float(moments.batch_mean_variance(A, "sphere", shared_probe=True))
    )


def test_one_logit_has_no_noise():
    assert float(moments.batch_mean_variance(np.ones((3, 1, 1)), "frames")) == 0


@pytest.mark.parametrize(
    "attempt",
    [
        lambda: draw("frames", np.random.default_rng(0), 2, 3, 4),
        lambda: gt.draw_probes("frames", 2, 3, 4, generator=torch.Generator()),
    ],
)
def test_more_probes_than_coordinates_are_refused(attempt):
    with pytest.raises(ValueError, match="expected num_probes <= 3 orthogonal probes, got 4"):
        attempt()


def test_a_group_that_is_too_large_is_refused():
    with pytest.raises(ValueError, match="expected at most 2 probes in a group, got 3"):
        moments.group_variance(np.ones((3, 2, 2)), 1)


def digits_net():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.Tanh(), torch.nn.Linear(8, 4))


@pytest.mark.parametrize("options", [{}, {"num_probes": 2}, {"fraction": 0.5}, {"every": 2}])
def test_torch_draws_frames(options):
    """The penalty of frames is that of the probes drawn, and training goes through."""
    model, x = digits_net().double(), torch.randn(9, 6).double()
    penalty = gt.SpectReg(probe="frames", generator=torch.Generator().manual_seed(1), **options)
    value = penalty(model, x)
    value.backward()
    assert value.isfinite()
    if "fraction" in options:
        return
    q = options.get("num_probes", 1)
    r = gt.draw_probes(
        "frames", 9, 4, q, generator=torch.Generator().manual_seed(1), dtype=torch.float64
    )
    same = options.get("every", 1) * gt.spectreg(model, x, probes=r)
    torch.testing.assert_close(value, same, rtol=1e-14, atol=0)


def test_torch_s_frames_are_orthogonal_across_the_batch():
    r = gt.draw_probes("frames", 8, 5, 2, generator=torch.Generator(), dtype=torch.float64)
    for start in range(0, 8, 2):
        probes = r[start : start + 2].transpose(1, 2).reshape(-1, 5)
        torch.testing.assert_close(probes @ probes.mT, 5 * torch.eye(4).double())


def noise_table():
    """The table of docs/frames.md, from what benchmarks/probe_noise.py measured."""
    rows = json.loads((ROOT / "benchmarks" / "results" / "probe_noise.json").read_text())["rows"]
    laws = list(dict.fromkeys(row["law"] for row in rows))
    lines: dict[str, list[str]] = {}
    for row in rows:
        several = ", two probes" if row["num_probes"] == 2 else ""
        cells = lines.setdefault(f"m = {row['m']}, B = {row['B']}{several}", [])
        cells.append(f"{row['gradient']:.2f}")
    head = [f"| | {' | '.join(laws)} |", "|---" * (len(laws) + 1) + "|"]
    return "\n".join([*head, *(f"| {name} | {' | '.join(c)} |" for name, c in lines.items())])


def test_the_page_has_the_measured_noise():
    page = (ROOT / "docs" / "frames.md").read_text(encoding="utf-8")
    assert f"<!-- noise -->\n\n{noise_table()}\n\n<!-- end -->" in page
