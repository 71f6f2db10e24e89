"""Right functions once failed: draws that depend on x, probes that coincide, orders of sums."""

from copy import deepcopy

import numpy as np
import pytest
import torch
from torch.func import functional_call

from gradreg_verify import BY_ID, Broken, bundled, verify
from gradreg_verify.claims import conduct, formulas
from gradreg_verify.claims.target import target_of
from gradreg_verify.frameworks.harness import Draw
from gradreg_verify.frameworks.torch.randomness import Randomness
from gradreg_verify.mistakes.torch.entries import own, rows, squares, vjp
from gradreg_verify.run import run


def padded(model, x):
    """Numbers for the longer of logits and inputs, of which the logits take theirs."""
    x = own(x)
    z = model(x)
    m = z.shape[1]
    r = torch.randn(len(z), max(m, x[0].numel()), dtype=z.dtype)
    return squares(vjp(z, x, r[:, :m])).mean()


def noise_of_level_zero(model, x):
    x = own(x + 0 * torch.randn_like(x))
    z = model(x)
    return squares(vjp(z, x, torch.randn_like(z))).mean()


def result(report, name):
    return next(r for r in report.results if r.claim.id == name)


@pytest.mark.parametrize("penalty", [padded, noise_of_level_zero])
def test_draws_that_depend_on_the_inputs_are_not_replayed(penalty):
    report = verify(penalty, "spectreg")
    assert not report.failed, str(report)
    assert "depends on more than batch and logits" in str(report)


@pytest.mark.parametrize(
    ("draw", "middle", "width"),
    [
        (lambda z: torch.normal(z), 0, 1),
        (lambda z: torch.normal(z + 2, 3), 2, 3),
        (lambda z: torch.normal(2.0, z + 3), 2, 3),
        (lambda z: torch.normal(2, 3, z.shape, dtype=z.dtype), 2, 3),
        (lambda z: torch.normal(mean=z + 2, std=3.0), 2, 3),
        (lambda z: z.normal_(), 0, 1),
        (lambda z: z.normal_(2), 2, 1),
        (lambda z: z.normal_(2, 3), 2, 3),
        (lambda z: z.normal_(std=3), 0, 3),
        (lambda z: z.uniform_(), 0, 1),
        (lambda z: z.uniform_(-1), -1, 2),
        (lambda z: z.uniform_(2, 5), 2, 3),
        (lambda z: z.uniform_(**{"from": -2, "to": 1}), -2, 3),
    ],
)
def test_a_call_makes_its_own_of_the_numbers_fed_however_it_names_them(draw, middle, width):
    z = torch.zeros(2, 3, dtype=torch.float64)
    kind = "uniform" if "uniform_" in draw.__code__.co_names else "normal"
    with Randomness([Draw(kind, np.full((2, 3), 0.25))]):
        got = draw(z)
    assert (got == middle + width / 4).all()


def three_orthogonal(model, x, probes=None):
    x = own(x)
    z = model(x)
    if probes is None:
        Q, _ = torch.linalg.qr(torch.randn(*z.shape, 3, dtype=z.dtype))
        probes = z.shape[1] ** 0.5 * Q
    return torch.stack([squares(vjp(z, x, r)) for r in probes.unbind(2)]).mean()


def three_orthogonal_of_its_own(model, x):
    return three_orthogonal(model, x)


@pytest.mark.parametrize("claim", ["spectreg-quadratic-form", "spectreg-unbiased"])
@pytest.mark.parametrize("law", ["orthogonal", "frames"])
@pytest.mark.parametrize("function", [three_orthogonal, three_orthogonal_of_its_own])
def test_three_orthogonal_probes_of_fewer_logits_are_not_asked_for(function, law, claim):
    declared = {"probe": law, "num_probes": 3}
    target = target_of(function, "spectreg", "torch", "cpu", 4, 5.0, declared)
    few = [e for e in bundled() if e.m < 4]
    assert run(BY_ID[claim], target, few).verdict != "FAIL"


def signs(model, x, q, shared=False):
    x = own(x)
    z = model(x)
    like = z[:1] if shared else z
    return torch.stack([squares(vjp(z, x, torch.randn_like(like).sign())) for _ in range(q)]).mean()


def classes(model, x, q, shared=False):
    x = own(x)
    z = model(x)
    n, m = z.shape
    drawn = torch.randint(0, m, (q, 1 if shared else n))
    units = m**0.5 * torch.eye(m, dtype=z.dtype)
    return torch.stack([squares(vjp(z, x, units[c])) for c in drawn]).mean()


@pytest.mark.parametrize(
    ("law", "q", "shared"),
    [("rademacher", 1, True), ("rademacher", 2, False), ("onehot", 1, True), ("onehot", 3, False)],
)
def test_probes_that_coincide_by_chance_are_no_reuse(law, q, shared):
    penalty = signs if law == "rademacher" else classes

    def of_q(model, x):
        return penalty(model, x, q, shared)

    report = verify(of_q, "spectreg", probe=law, num_probes=q, shared_probe=shared)
    assert not report.failed, str(report)


@pytest.mark.parametrize("q", [2, 3])
def test_one_sign_vector_for_all_q_is_reuse(q):
    def reused(model, x):
        x = own(x)
        z = model(x)
        r = torch.randn_like(z).sign()
        return torch.stack([squares(vjp(z, x, r)) for _ in range(q)]).mean()

    report = verify(reused, "spectreg", probe="rademacher", num_probes=q)
    assert f"one probe is used {q} times" in result(report, "probe-law").figure


def test_a_shared_sign_vector_of_a_fixed_seed_is_reuse():
    def seeded(model, x):
        x = own(x)
        z = model(x)
        g = torch.Generator().manual_seed(0)
        return squares(vjp(z, x, torch.randn(1, z.shape[1], generator=g).sign())).mean()

    declared = {"probe": "rademacher", "shared_probe": True}
    target = target_of(seeded, "spectreg", "torch", "cpu", 4, 10.0, declared)
    with pytest.raises(Broken, match=r"two calls in a row use the same probes.*: 32 of 32"):
        list(conduct.fresh_probes(target, next(bundled())))


def turned_twenty_times(model, x):
    x = own(x)
    J = rows(model(x), x)
    m = J.shape[1]
    k = torch.arange(m * m, dtype=J.dtype).reshape(m, m)
    U = torch.linalg.qr(k.cos() + torch.eye(m, dtype=J.dtype))[0]
    for _ in range(20):
        J = U @ J
    return squares(J).mean()


def test_another_order_of_sums_passes():
    """By more than a few roundings, at examples where the reference makes none."""
    target = target_of(turned_twenty_times, "frobreg", "torch", "cpu", 4, 10.0, {})
    exact = [e for e in bundled() if e.exact]
    errors = [error for e in exact for error in formulas.formula_of("frobreg")(target, e)]
    assert 2.0**-50 < max(errors) < 1e-13


@pytest.mark.parametrize(
    ("left_on", "off", "named"),
    [
        (torch.autograd.set_detect_anomaly, torch.is_anomaly_enabled, "anomaly detection"),
        (
            torch.use_deterministic_algorithms,
            torch.are_deterministic_algorithms_enabled,
            "deterministic algorithms",
        ),
    ],
)
def test_a_mode_of_torch_left_on_is_no_false_alarm(left_on, off, named):
    def penalty(model, x):
        x = own(x)
        value = squares(rows(model(x), x)).mean()
        left_on(True)
        return value

    one = target_of(penalty, "frobreg", "torch", "cpu", 4, 10.0, {})
    before = off()
    try:
        with pytest.raises(Broken, match=f"a call of frobreg changes {named}"):
            list(conduct.nothing_left_behind(one, next(bundled())))
    finally:
        left_on(before)


def of_the_inputs(law):
    """‖Jv‖² by forward mode, with probes of the inputs."""

    def probes(n, d, dtype):
        g = torch.randn(n, d, dtype=dtype)
        if law == "onehot":
            return d**0.5 * torch.eye(d, dtype=dtype)[torch.randint(0, d, (n,))]
        if law == "frames":
            size = min(n, d)
            Q, _ = torch.linalg.qr(torch.randn(-(-n // size), d, size, dtype=dtype))
            return d**0.5 * Q.mT.reshape(-1, d)[:n]
        return d**0.5 * g / g.norm(dim=1, keepdim=True)

    def penalty(model, x):
        v = probes(len(x), x[0].numel(), x.dtype).reshape(x.shape)
        return torch.func.jvp(model, (x,), (v,))[1].square().sum(1).mean()

    return penalty


@pytest.mark.parametrize("law", ["sphere", "orthogonal", "onehot", "frames"])
def test_probes_of_the_inputs_are_no_probes_of_the_outputs(law):
    """A part of such a probe has another law than the whole, and a frame has d examples."""
    report = verify(of_the_inputs(law), "spectreg", probe=law, side="input")
    assert not report.failed, str(report)
    assert report.ok == (law in ("sphere", "orthogonal"))


def test_a_pass_of_a_copy_is_a_pass_of_the_model():
    def of_a_copy(model, x):
        model(x)
        x = own(x)
        z = functional_call(deepcopy(model), dict(model.named_parameters()), (x,))
        return squares(rows(z, x)).mean()

    target = target_of(of_a_copy, "frobreg", "torch", "cpu", 4, 5.0, {})
    e = next(bundled())
    assert list(conduct.of_one_pass(target, e)) == [pytest.approx(0, abs=1e-12)]
