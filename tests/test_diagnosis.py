"""What the diagnosis says of wrong penalties: one function of a wrong kind each."""

import numpy as np
import pytest
import torch

from gradreg_verify.claims.ledger import BY_ID
from gradreg_verify.claims.target import target_of
from gradreg_verify.diagnosis.computes import AS_DECLARED, UNKNOWN, computed
from gradreg_verify.diagnosis.diagnose import diagnose
from gradreg_verify.diagnosis.factors import fit, in_words, number
from gradreg_verify.diagnosis.observe import observations
from gradreg_verify.diagnosis.shrink import smallest
from gradreg_verify.mistakes.torch.entries import rows, squares, vjp
from gradreg_verify.outcomes import Hung
from gradreg_verify.subject.suited import fits


def target(function, kind="frobreg", **declared):
    return target_of(function, kind, "torch", "cpu", 4, 5.0, declared)


def said(function, kind="frobreg", **declared):
    """What the function computes, in the words of the diagnosis."""
    one = target(function, kind, **declared).declared
    return computed(observations(one), one.declaration)


def J_of(model, x, create_graph=True):
    x = x.detach().requires_grad_()
    return rows(model(x), x, create_graph)


def each(model, x):
    """‖J‖² of every example."""
    return squares(J_of(model, x))


def projected(model, x, r, of=lambda z: z):
    """Σ_b ‖Jᵀr‖² / B."""
    x = x.detach().requires_grad_()
    z = of(model(x))
    return squares(vjp(z, x, r(z))).mean()


def probability_minus_label(model, x, y, detach):
    x = x.detach().requires_grad_()
    z = model(x)
    p = z.softmax(1).detach() if detach else z.softmax(1)
    r = p - torch.nn.functional.one_hot(y, z.shape[1])
    return squares(torch.autograd.grad(z, x, r, create_graph=True)[0]).mean()


MEAN = "It computes the batch mean of "
RIGHT_VALUE = "Its value is the declared one on all 22 networks tried"
FROBREG = {
    "It computes ½ × the batch mean of FrobReg, ‖J‖².": lambda f, x: each(f, x).mean() / 2,
    "It computes -2 × the batch mean of FrobReg, ‖J‖².": lambda f, x: -2 * each(f, x).mean(),
    "It computes the batch sum of FrobReg, ‖J‖².": lambda f, x: each(f, x).sum(),
    "It computes 1/B² × the batch sum (as of the loss of a batch mean) of FrobReg, ‖J‖².": (
        lambda f, x: each(f, x).sum() / len(x) ** 2
    ),
    "It computes 1/d (d input coordinates) × the batch mean of FrobReg, ‖J‖².": (
        lambda f, x: each(f, x).mean() / x[0].numel()
    ),
    "It computes 1/m × the batch mean of FrobReg, ‖J‖².": (
        lambda f, x: J_of(f, x).square().sum(2).mean()
    ),
    MEAN + "‖J‖, the norm and not its square.": (lambda f, x: (each(f, x) + 1e-300).sqrt().mean()),
    MEAN + "Σ |J|, absolute values.": lambda f, x: J_of(f, x).abs().sum((1, 2)).mean(),
    MEAN + "‖Jᵀ1 (the gradient of the sum of the logits)‖². On networks with one output it is the "
    "batch mean of frobreg: if it is for these, declare --outputs 1.": (
        lambda f, x: projected(f, x, torch.ones_like)
    ),
    MEAN + "JacReg, ‖∂p/∂x‖².": lambda f, x: each(
        torch.nn.Sequential(f, torch.nn.Softmax(1)), x
    ).mean(),
    MEAN + "‖J‖² with one factor detached.": lambda f, x: one_factor_detached(J_of(f, x)),
    RIGHT_VALUE + "; but its gradient is zero.": (
        lambda f, x: squares(J_of(f, x, False)).mean() + 0 * f(x).sum()
    ),
    RIGHT_VALUE + "; but its gradient is ¼ × that of its value.": (
        lambda f, x: (lambda v: v / 4 + (0.75 * v).detach())(each(f, x).mean())
    ),
    "It computes 1/m × 1/d (d input coordinates) × the batch mean of FrobReg, ‖J‖².": (
        lambda f, x: J_of(f, x).square().mean()
    ),
    "It computes 1/p (p pixels) × the batch mean of FrobReg, ‖J‖².": (
        lambda f, x: each(f, x).mean() / (x[0, 0].numel() if x.dim() > 2 else 1)
    ),
    MEAN + "σ²_max of J, the largest singular value squared.": (
        lambda f, x: torch.linalg.matrix_norm(J_of(f, x), 2).square().mean()
    ),
    MEAN + "σ_max of J, the largest singular value.": (
        lambda f, x: torch.linalg.matrix_norm(J_of(f, x), 2).mean()
    ),
    "It computes max_b ‖J‖², the largest of the batch.": lambda f, x: each(f, x).max(),
    "It computes 1/B × (Σ_b ‖J‖²)^½, a norm over the whole batch.": (
        lambda f, x: (each(f, x).sum() + 1e-300).sqrt() / len(x)
    ),
    "It computes ((Σ_b ‖J‖²)^½ − 1)², with the norm over the whole batch.": (
        lambda f, x: ((each(f, x).sum() + 1e-300).sqrt() - 1) ** 2
    ),
    MEAN + "(‖J‖ − 1)².": lambda f, x: (((each(f, x) + 1e-300).sqrt() - 1) ** 2).mean(),
    MEAN + "‖J‖⁴, squared twice.": lambda f, x: each(f, x).square().mean(),
    "With the last layer doubled its value is 2^3 times as large, and that of frobreg 4 times.": (
        lambda f, x: J_of(f, x).abs().pow(3).sum()
    ),
    "It is zero everywhere.": lambda f, x: 0 * each(f, x).sum(),
    "It computes Σ‖θ‖², biases included.": (
        lambda f, x: sum(p.square().sum() for p in f.parameters())
    ),
    "With the last layer doubled its value is 4 times as large, as that of frobreg; the kit knows "
    "no formula that fits.": lambda f, x: (
        J_of(f, x) ** 2 * torch.arange(1.0, x[0].numel() + 1)
    ).sum(),
    MEAN + "max(‖J‖ − 1, 0)².": (
        lambda f, x: ((each(f, x) + 1e-300).sqrt() - 1).clamp(min=0).square().mean()
    ),
    MEAN + "log(1 + ‖J‖²).": lambda f, x: each(f, x).log1p().mean(),
    MEAN + "(Σ |J|)², absolute values summed before they are squared.": (
        lambda f, x: J_of(f, x).abs().sum((1, 2)).square().mean()
    ),
    MEAN + "max |J|², the largest entry squared.": (
        lambda f, x: J_of(f, x).abs().amax((1, 2)).square().mean()
    ),
    "Its value is the batch mean of frobreg, plus 1e-08.": lambda f, x: each(f, x).mean() + 1e-8,
    "Its value is the batch sum of frobreg, with 0.25 added to every example's value.": (
        lambda f, x: (each(f, x) + 0.25).sum()
    ),
    "Its value is the declared one on 16 of 22 networks, and another one on the rest, all of "
    "them with 5 examples in the batch or more.": lambda f, x: torch.stack(
        [each(f, part).mean() for part in x.split(2)]
    ).mean(),
}


def one_factor_detached(J):
    return (J * J.detach()).sum((1, 2)).mean()


@pytest.mark.parametrize("sentence", FROBREG)
def test_a_wrong_frobreg_is_named(sentence):
    assert said(FROBREG[sentence]) == sentence


def test_the_declared_scale_is_part_of_what_was_declared():
    got = said(lambda model, x: each(model, x).mean(), scale=0.5)
    assert got == "It computes the batch mean of FrobReg, ‖J‖²."


def test_a_detached_vector_is_named():
    def wrong(model, x, y):
        return probability_minus_label(model, x, y, detach=True)

    assert said(wrong, "doubleback").startswith(MEAN + "DoubleBack with p detached")


def test_one_probe_for_the_batch_is_named():
    def wrong(model, x):
        return projected(model, x, lambda z: torch.randn(1, z.shape[1]))

    got = said(wrong, "spectreg")
    assert got.startswith("Value and gradient are those declared at the numbers drawn, on all 20")
    assert got.endswith("to 9 digits, but with one probe for the whole batch.")


def test_the_projection_of_probabilities_is_named():
    def wrong(model, x):
        return projected(model, x, torch.randn_like, lambda z: z.softmax(1))

    assert said(wrong, "spectreg") == MEAN + "projected JacReg, ‖(∂p/∂x)ᵀr‖²."


def test_a_factor_is_found_by_its_powers_and_said_in_words():
    rng = np.random.default_rng(0)
    sizes = [(2, 3, 5, 1), (1, 2, 7, 1), (5, 4, 12, 4), (3, 3, 2, 1), (2, 2, 2, 1)]
    values = rng.uniform(1, 2, 5)
    got = [3 * m / n * v for (n, m, *_), v in zip(sizes, values, strict=True)]
    assert fit(np.array(got), values, sizes) == pytest.approx((3, -1, 1, 0, 0))
    assert in_words((3.0, -1, 1, 0, 0)) == "3 × m × the batch mean of "
    got[0] *= 1 + 1e-6
    assert fit(np.array(got), values, sizes) is None


@pytest.mark.parametrize(
    ("a", "text"), [(0.5, "½"), (0.25, "¼"), (-1.0, "-1"), (0.75, "3/4"), (0.1234567, "0.1234567")]
)
def test_numbers_in_words(a, text):
    assert number(a) == text


def differences(model, x, h):
    """Σ_i ‖(z(x + h e_i) − z(x)) / h‖² by one-sided differences."""
    z, flat = model(x), x.flatten(1)
    steps = h * torch.eye(flat.shape[1])
    moved = [model((flat + step).view_as(x)) for step in steps]
    return sum(((there - z) / h).square().sum(1).mean() for there in moved)


def test_finite_differences_are_recognised_by_their_nearness():
    got = said(lambda model, x: differences(model, x, 1e-3))
    assert got.startswith("Within 1 % its value is the declared one (it is off by 0.")
    assert got.endswith("no variant is exact: finite differences look like this.")
    half = said(lambda model, x: differences(model, x, 1e-3) / 2)
    assert half.startswith("Within 1 % its value is ½ × the declared one")
    assert "Within 1 %" not in said(lambda model, x: differences(model, x, 1.0))


def test_a_mistake_of_many_classes_is_none_of_finite_differences():
    """Few of ten probabilities are left out, so the value is off by less than 1 %."""

    def of_five(model, x):
        return each(lambda x: model(x).softmax(1).topk(min(5, model(x).shape[1]), 1).values, x)

    got = said(lambda model, x: of_five(model, x).mean(), "jacreg")
    assert got == (
        "Its value is the declared one on 12 of 14 networks, and another one on the rest, those "
        "with 10 logits or more."
    )


def test_single_precision_may_look_like_finite_differences():
    def single(logits):
        p = logits.float().softmax(1)
        return (p * p.log()).nan_to_num().sum(1).mean().to(logits.dtype)

    assert said(single, "confidence_penalty").endswith(
        "finite differences or a lower precision look like this."
    )


def test_targets_that_are_no_probabilities_do_not_end_the_diagnosis():
    def broadcast(model, x, y):
        x = x.detach().requires_grad_()
        z = model(x)
        loss = ((z.squeeze() - y) ** 2).sum() / z.shape[1]
        return squares(torch.autograd.grad(loss, x, create_graph=True)[0]).mean()

    got = said(broadcast, "doubleback", loss="mean_squared_error")
    assert got.endswith("and another one on the rest, those with one logit.")


def q_first(model, x, probes):
    x = x.detach().requires_grad_()
    z = model(x)
    return sum(squares(vjp(z, x, r)) for r in probes).mean()


def test_probes_that_must_be_given_are_known_in_any_layout():
    got = said(q_first, "spectreg", num_probes=2)
    assert got == "It computes 2 × the batch mean of SpectReg, ‖Jᵀr‖²."


def test_shared_probes_are_those_of_every_example():
    def drawn_again(model, x):
        def r(z):
            return torch.randn_like(z[:1] if len(z) <= 8 else z)

        return torch.stack([projected(model, x, r) for _ in range(2)]).mean()

    one = target(drawn_again, "spectreg", num_probes=2, shared_probe=True)
    found = diagnose(one, BY_ID["probe-law"])
    assert found.computes.startswith(AS_DECLARED)
    assert found.counterexample.message.endswith("got others in a batch of 50")


CLIPPED = {
    "clipped at 10": lambda f, x: each(f, x).mean().clamp(max=10),
    "with every example's value clipped at 10": lambda f, x: each(f, x).clamp(max=10).mean(),
    "raised to 1.5 where it is less": lambda f, x: each(f, x).mean().clamp(min=1.5),
    "with every example's value raised to 1.5 where it is less": (
        lambda f, x: each(f, x).clamp(min=1.5).mean()
    ),
    "with the entries of J clamped to [-1000, 1000]": (
        lambda f, x: squares(J_of(f, x).clamp(-1000, 1000)).mean()
    ),
}


@pytest.mark.parametrize("cut", CLIPPED)
def test_a_clip_or_floor_is_named_and_its_level(cut):
    assert said(CLIPPED[cut]) == f"Its value is the batch mean of frobreg, {cut}."


def test_gradients_clamped_by_a_hook_are_named():
    def wrong(model, x):
        x = x.detach().requires_grad_()
        z = model(x)
        x.register_hook(lambda g: g.clamp(-1, 1))
        return squares(rows(z, x)).mean()

    clamped = "with the entries of J clamped to [-1, 1]"
    assert said(wrong) == f"Its value is the batch mean of frobreg, {clamped}."
    assert said(wrong, scale=2.0) == said(wrong)
    assert said(lambda f, x: len(x) * wrong(f, x)) == said(wrong).replace("mean", "sum")
    assert said(lambda f, x: 7 * wrong(f, x)) == UNKNOWN


def test_networks_where_the_value_is_another_are_described():
    def wrong(model, x):
        relu = any(isinstance(layer, torch.nn.ReLU) for layer in model.modules())
        return each(model, x).mean() * (2 if relu else 1)

    on = "Its value is the declared one on 17 of 22 networks, and another one on the rest"
    assert said(wrong) == f"{on}, those with ReLU."


def test_networks_that_are_off_by_little_are_said_to_be():
    def wrong(model, x):
        return each(model, x).mean() * (1 + 1e-6 * (x.sum() > 0))

    on = "Its value is the declared one on 11 of 22 networks, and another one on the rest"
    assert said(wrong) == f"{on}, off by 0.0001% at most."


def test_a_level_that_two_networks_set_is_not_said():
    def wrong(model, x):
        value = each(model, x).mean()
        return value * (1 if value < 0.003 else 2 + value.sin())

    on = "Its value is the declared one on 2 of 22 networks, and another one on the rest"
    assert said(wrong) == f"{on}."


def test_networks_of_several_layers_are_described():
    def first_layer(model):
        return next(p for p in model.parameters() if p.ndim > 1).square().sum()

    assert said(first_layer, "weight_decay").endswith(", those with several layers of weights.")


def test_a_gradient_that_is_nan_on_one_network_is_no_formula():
    def wrong(model, x):
        return each(model, x).sqrt().square().mean()

    found = diagnose(target(wrong), BY_ID["training-gradient"])
    assert found.computes.endswith("; but its gradient is NaN on 1 of 23 networks.")
    assert "its gradient is nan; that of the batch mean of frobreg is 0" in str(found)


def test_the_network_shown_is_the_unusual_one_that_fails():
    def wrong(model, x):
        values = each(model, x)
        return values.sum() / values.count_nonzero().clamp(min=1)

    shown = diagnose(target(wrong), BY_ID["training-gradient"]).counterexample
    assert shown.e.x.shape == (2, 1)
    assert not (shown.e.J.any(axis=(1, 2))).all()


LABELLED = {
    "Jᵀ(p − e_c), c the predicted class": lambda z, y: torch.nn.functional.cross_entropy(
        z, z.argmax(1), reduction="sum"
    ),
    "Jᵀ(p − y) with y smoothed by 0.1": lambda z, y: torch.nn.functional.cross_entropy(
        z, y, reduction="sum", label_smoothing=0.1
    ),
    "Jᵀ(σ(z) − y), σ the sigmoid of a logit": lambda z, y: (
        torch.nn.functional.binary_cross_entropy_with_logits(
            z, torch.nn.functional.one_hot(y, z.shape[1]).to(z.dtype), reduction="sum"
        )
    ),
}


@pytest.mark.parametrize("vector", LABELLED)
def test_other_labels_of_doubleback_are_named(vector):
    def wrong(model, x, y):
        x = x.detach().requires_grad_()
        loss = LABELLED[vector](model(x), y)
        return squares(torch.autograd.grad(loss, x, create_graph=True)[0]).mean()

    assert said(wrong, "doubleback") == f"{MEAN}‖{vector}‖²."


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


def test_differences_along_drawn_probes_of_the_inputs_are_named():
    def wrong(model, x):
        v = torch.randn_like(x)
        return ((model(x + 1e-6 * v) - model(x)) / 1e-6).square().sum(1).mean()

    assert said(wrong, "spectreg", side="input").startswith("Within 1 % its value is the declared")


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


NO_GRAPH = "carries no graph"


@pytest.mark.parametrize(
    ("modes", "words"),
    [
        ((True, False), f"{NO_GRAPH}: a constant to the optimiser."),
        ((True,), f"{NO_GRAPH} in training mode: a constant to the optimiser."),
        ((False,), f"{NO_GRAPH} in evaluation mode: a constant to the optimiser."),
    ],
)
def test_a_value_without_a_graph_is_named_with_its_mode(modes, words):
    def wrong(model, x):
        value = each(model, x).mean()
        return value.detach() if model.training in modes else value

    assert said(wrong) == f"{RIGHT_VALUE}, and {words}"


class Raises(torch.autograd.Function):
    @staticmethod
    def forward(ctx, value):
        return value.clone()

    @staticmethod
    def backward(ctx, gradient):
        raise NotImplementedError("no backward here")


def test_a_gradient_that_raises_is_no_constant():
    got = said(lambda model, x: Raises.apply(each(model, x).mean()))
    assert "constant" not in got
    assert got.endswith("its gradient is missing on 22 of 22 networks: raised NotImplementedError.")


def test_the_value_is_shown_before_the_gradient_and_in_the_function_s_own_numbers():
    wrong = target(lambda model, x: each(model, x).mean(), scale=0.5)
    shown = diagnose(wrong, BY_ID["training-gradient"]).counterexample
    assert shown.message == ("The function returns 0.25; the 0.5 × batch mean of frobreg is 0.125.")
    gradient = target(lambda model, x: squares(J_of(model, x, False)).mean() + 0 * model(x).sum())
    shown = diagnose(gradient, BY_ID["training-gradient"]).counterexample
    assert (
        "as declared. Along a direction of the parameters its gradient is 0; that" in shown.message
    )


def test_numbers_are_called_divided_by_the_scale_only_where_they_are():
    calls = []

    def wrong(model, x):
        calls.append(1)
        return 0.5 * each(model, x).mean() + len(calls)

    shown = diagnose(target(wrong, scale=0.5), BY_ID["repeatable"]).counterexample
    assert "twice with one seed" in shown.message
    assert "divided" not in shown.message
    one = target(lambda model, x: 0.5 * each(model, x).mean() + 1, scale=0.5)
    doubled = diagnose(one, BY_ID["metamorphic-laws"]).counterexample
    assert doubled.message.endswith("(both divided by the declared scale 0.5)")


def images_only(model, x):
    assert x.dim() == 4
    return each(model, x).mean()


def one_output_only(model, x):
    assert model(x).shape[1] == 1
    return 3 * each(model, x).mean()


@pytest.mark.parametrize(
    ("function", "scale", "remedy", "declared"),
    [
        (images_only, 1.0, "images: if it is for these, declare --input", {"input": (2, 4, 4)}),
        (one_output_only, 3.0, "one output: if it is for these, declare --out", {"outputs": 1}),
    ],
)
def test_a_penalty_of_some_networks_is_told_how_to_declare_them(function, scale, remedy, declared):
    assert f"It gives one on all networks with {remedy}" in said(function, scale=scale)
    assert said(function, scale=scale, **declared).startswith(AS_DECLARED)
    wrong = diagnose(target(function, **declared, scale=7.0), BY_ID["frobreg-formula"])
    assert fits(target(function, **declared).declared.declaration, wrong.counterexample.e)


def test_a_function_that_never_answers_is_asked_for_its_arguments():
    def on_logits(x, y):
        return torch.autograd.grad(y.sum(), x, create_graph=True)[0].square().sum()

    got = said(on_logits, arguments=("model", "x"))
    assert "It gives no value on 22 of 22 networks" in got
    assert "It was called with model, x: if its parameters are others, name them, as in " in got
    assert "--arguments x,logits." in got


def test_an_error_inside_the_diagnosis_is_a_sentence(monkeypatch):
    class Silent(Exception):
        def __str__(self):
            raise RuntimeError

    def fails(*_):
        raise Silent

    monkeypatch.setattr("gradreg_verify.diagnosis.diagnose.computed", fails)
    found = diagnose(target(lambda model, x: each(model, x).sum()), BY_ID["frobreg-formula"])
    said = "The diagnosis itself raised Silent: (it has no text: its __str__ raises)"
    assert found.computes == said
    assert found.counterexample is not None


@pytest.mark.parametrize("last", [1, 2, 3, 4, 9, 40])
def test_a_function_that_hangs_ends_the_diagnosis_at_once(last):
    calls = []

    def wrong(model, x):
        calls.append(1)
        if len(calls) == last:
            raise Hung("did not return within 10 s")
        return 2 * each(model, x).mean()

    ended = "The diagnosis ended early: the function did not return within 10 s."
    assert diagnose(target(wrong), BY_ID["frobreg-formula"]).computes == ended
    assert len(calls) == last


def test_the_diagnosis_is_bounded(monkeypatch):
    calls = []

    def wrong(model, x):
        calls.append(1)
        return 2 * each(model, x).mean()

    def calls_made(**options):
        calls.clear()
        assert smallest(target(wrong), BY_ID["frobreg-formula"], **options) is not None
        return len(calls)

    unbounded = calls_made()
    out_of_time = calls_made(end=0.0)
    monkeypatch.setattr("gradreg_verify.diagnosis.shrink.TRIES", 3)
    assert out_of_time < calls_made() < unbounded
    assert observations(target(wrong).declared, end=0.0).observed == []
