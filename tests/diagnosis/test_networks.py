"""Values that are the declared ones on some networks only: clips, floors, kinds of networks."""

import pytest
import torch
from diagnosis.common import J_of, each, said, target

from gradreg_verify.claims.ledger import BY_ID
from gradreg_verify.diagnosis.computes import AS_DECLARED, UNKNOWN, computed
from gradreg_verify.diagnosis.diagnose import diagnose
from gradreg_verify.diagnosis.observe import observations
from gradreg_verify.examples import bundled
from gradreg_verify.mistakes.torch.entries import rows, squares
from gradreg_verify.subject.suited import fits

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


def test_the_network_shown_is_the_unusual_one_that_fails():
    def wrong(model, x):
        values = each(model, x)
        return values.sum() / values.count_nonzero().clamp(min=1)

    shown = diagnose(target(wrong), BY_ID["training-gradient"]).counterexample
    assert shown.e.x.shape == (2, 1)
    assert not (shown.e.J.any(axis=(1, 2))).all()


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


def test_a_value_that_is_right_only_where_the_failure_is_shown_is_right_by_accident():
    one = target(lambda f, x: (each(f, x).mean() + 1e-300).sqrt().expm1()).declared
    where_both_are_zero = list(bundled())[2].scaled(0.0)
    seen = observations(one, (where_both_are_zero,))
    assert computed(seen, one.declaration).endswith(f". {UNKNOWN}")
