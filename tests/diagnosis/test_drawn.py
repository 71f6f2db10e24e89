"""Functions that draw other random numbers than they declare."""

import numpy as np
import torch
from diagnosis.common import MEAN, each, projected, said, target

from gradreg_verify.claims.ledger import BY_ID
from gradreg_verify.diagnosis.computes import AS_DECLARED, computed
from gradreg_verify.diagnosis.diagnose import diagnose
from gradreg_verify.diagnosis.observe import observations
from gradreg_verify.mistakes.torch.entries import squares, vjp
from gradreg_verify.subject.declaration import Declaration
from gradreg_verify.subject.suited import suited


def test_one_probe_for_the_batch_is_named():
    def wrong(model, x):
        return projected(model, x, lambda z: torch.randn(1, z.shape[1]))

    got = said(wrong, "spectreg")
    assert got.startswith("Value and gradient are those declared at the numbers drawn, on all 20")
    assert got.endswith("to 9 digits, but with one probe for the whole batch.")


def test_one_probe_several_times_is_named():
    """Nothing was said of it, but that all is as declared at the numbers drawn."""

    def again(model, x):
        state = torch.get_rng_state()

        def r(z):
            torch.set_rng_state(state)
            return torch.randn_like(z)

        return torch.stack([projected(model, x, r) for _ in range(2)]).mean()

    got = said(again, "spectreg", num_probes=2)
    assert got.startswith("Value and gradient are those declared at the numbers drawn, on all ")
    assert got.endswith("to 9 digits, but with one probe 2 times.")


def test_shared_probes_are_those_of_every_example():
    def drawn_again(model, x):
        def r(z):
            return torch.randn_like(z[:1] if len(z) <= 8 else z)

        return torch.stack([projected(model, x, r) for _ in range(2)]).mean()

    one = target(drawn_again, "spectreg", num_probes=2, shared_probe=True)
    found = diagnose(one, BY_ID["probe-law"])
    assert found.computes.startswith(AS_DECLARED)
    assert found.counterexample.message.endswith("got others in a batch of 50")


def test_random_numbers_where_none_are_declared_are_named():
    def wrong(model, x):
        return projected(model, x, torch.randn_like)

    random = "It draws random numbers; frobreg has none. "
    assert said(wrong) == random + MEAN + "SpectReg, ‖Jᵀr‖²."
    shown = diagnose(target(wrong), BY_ID["frobreg-formula"]).counterexample
    assert "and in another call" in shown.message


def test_two_random_numbers_are_not_compared():
    """The sum and the mean of a batch are other numbers when drawn anew."""

    def wrong(model, x):
        return projected(model, x, torch.randn_like)

    shown = diagnose(target(wrong), BY_ID["values-per-example"]).counterexample
    assert shown.kind == ("frobreg, sum", "chance")
    assert "expected" not in shown.message


def test_several_probes_in_the_place_of_one_are_counted():
    """rᵀAs of two independent probes is not compared with the mean of rᵀAr and sᵀAs."""

    def wrong(x, logits):
        r, s = (vjp(logits, x, torch.randn_like(logits)) for _ in range(2))
        return (r * s).sum(1).mean()

    got = said(wrong, "spectreg")
    assert got == "It draws 2 probe(s) for each example, declared: 1."


def test_probes_drawn_row_by_row_are_one_for_each_example():
    """They were taken for as many probes as there are examples."""

    def halved(model, x):
        return projected(model, x, lambda z: torch.stack([torch.randn(z.shape[1]) for _ in z]) / 2)

    assert said(halved, "spectreg") == "It computes ¼ × the batch mean of SpectReg, ‖Jᵀr‖²."


def test_rounded_probes_are_named_beside_differences():
    def rounded(model, x):
        return projected(model, x, lambda z: torch.randn_like(z).to(torch.bfloat16).to(z))

    assert said(rounded, "spectreg").endswith(
        "finite differences or rounded probes look like this."
    )


def test_differences_along_drawn_probes_of_the_inputs_are_named():
    def wrong(model, x):
        v = torch.randn_like(x)
        return ((model(x + 1e-6 * v) - model(x)) / 1e-6).square().sum(1).mean()

    assert said(wrong, "spectreg", side="input").startswith("Within 1 % its value is the declared")


def test_a_coin_of_uniform_numbers_is_compared_at_its_signs():
    """The numbers themselves were taken for probes: right "on 4 of 21 networks", by chance."""

    def biased(model, x):
        return projected(model, x, lambda z: torch.sign(torch.rand_like(z) - 0.49))

    got = said(biased, "spectreg", probe="rademacher")
    assert got.startswith("Value and gradient are those declared at the numbers drawn, on all 20")


def test_nothing_is_said_of_a_formula_that_was_not_compared():
    def wrong(model, x):
        def classes(z):
            c = torch.randint(0, z.shape[1], (len(z),))
            return torch.nn.functional.one_hot(c, z.shape[1]).to(z.dtype)

        return projected(model, x, classes)

    got = said(wrong, "spectreg", probe="onehot")
    assert got.startswith("The kit cannot tell its probes from what it draws")


def test_a_black_box_is_compared_at_the_numbers_it_drew():
    def wrong(model, x):
        x = x.detach().requires_grad_()
        z = model(x)
        return squares(vjp(z, x, torch.randn_like(z))).clamp(max=4).mean()

    one = target(wrong, "spectreg")
    shown = diagnose(one, BY_ID["spectreg-quadratic-form"]).counterexample
    values = (np.einsum("nki,nkq->niq", shown.e.J, shown.probes) ** 2).sum(axis=(1, 2))
    returned, value = np.minimum(values, 4).mean(), values.mean()
    assert f"The function returns {returned:.10g}; the batch" in shown.message
    assert f"at the numbers drawn is {value:.10g}." in shown.message
    assert returned < value


def test_probes_that_are_not_drawn_are_missed():
    got = said(lambda model, x: each(model, x).mean(), "spectreg")
    assert got.startswith("Its value does not change with the seed; spectreg has gaussian probes.")


def test_a_state_is_not_taken_for_random_numbers():
    calls = []

    def wrong(model, x):
        calls.append(1)
        return each(model, x).mean() * (2 if len(calls) % 7 == 0 else 1)

    assert said(wrong).startswith("Two calls with the same seed return different values")


def test_a_penalty_of_fields_with_probes_is_not_told_to_declare_what_would_be_refused():
    def of_fields(x, logits):
        e = torch.randn_like(x)
        return torch.autograd.grad(logits, x, e, create_graph=True)[0].square().sum(1).mean()

    one = target(of_fields, "spectreg").declared
    field = next(suited(Declaration("frobreg", square=True)))
    got = computed(observations(one, (field,)), one.declaration)
    assert "as many outputs as inputs: if it is for these, average it over the probes" in got
    assert "does not change with the seed" not in got  # no seed was changed at that network
