"""Wrong laws of probes, ‖Jᵀr‖²."""

from functools import partial
from math import sqrt

import torch
from torch import Tensor, nn

from gradreg_verify.mistakes.torch.entries import own, projected, rows, squares, vjp, wrong

spectreg = partial(wrong, kind="spectreg")


def direction(z: Tensor) -> Tensor:
    """A gaussian divided by its norm."""
    r = torch.randn_like(z)
    return r / r.norm(dim=1, keepdim=True)


@spectreg("probe-law", "dtype", "r rounded to halves", "coarse uniforms")
def coarse_gaussians(model: nn.Module, x: Tensor) -> Tensor:
    return projected(model, x, lambda z: (2 * torch.randn_like(z)).round() / 2).mean()


@spectreg("probe-law", "sampler", "‖Jᵀ1‖²", "the probe forgotten")
def without_a_probe(model: nn.Module, x: Tensor) -> Tensor:
    return projected(model, x, lambda z: 1 + 0 * torch.randn_like(z)).mean()


@spectreg(
    "spectreg-unbiased", "sampler", "‖Jᵀu‖², ‖u‖ = 1", "a sphere without its m", probe="sphere"
)
def sphere_of_radius_one(model: nn.Module, x: Tensor) -> Tensor:
    return projected(model, x, direction).mean()


@spectreg("spectreg-unbiased", "sampler", "√m ‖Jᵀu‖²", "√m outside of the square", probe="sphere")
def sphere_scaled_by_root_m(model: nn.Module, x: Tensor) -> Tensor:
    x = own(x)
    z = model(x)
    return squares(vjp(z, x, direction(z))).mean() * sqrt(z.shape[1])


@spectreg("gaussian-variance", "sampler", "0.81 ‖Jᵀr‖²", "gaussians of standard deviation 0.9")
def gaussians_too_narrow(model: nn.Module, x: Tensor) -> Tensor:
    return projected(model, x, lambda z: 0.9 * torch.randn_like(z)).mean()


@spectreg(
    "rademacher-variance",
    "sampler",
    "signs ±½",
    "randint(0, 2) − ½ for its double",
    probe="rademacher",
)
def half_signs(model: nn.Module, x: Tensor) -> Tensor:
    return projected(model, x, lambda z: torch.randint_like(z, 0, 2) - 0.5).mean()


@spectreg(
    "sphere-variance", "sampler", "(m/2)‖Jᵀu‖²", "½ of the definition, undeclared", probe="sphere"
)
def half_on_the_sphere(model: nn.Module, x: Tensor) -> Tensor:
    x = own(x)
    z = model(x)
    return squares(vjp(z, x, direction(z))).mean() * z.shape[1] / 2


@spectreg(
    "spectreg-quadratic-form", "sampler", "½(‖Jᵀr‖² + ‖J‖²_F)", "a control variate, half subtracted"
)
def half_exact(model: nn.Module, x: Tensor) -> Tensor:
    x = own(x)
    z = model(x)
    return (squares(vjp(z, x, torch.randn_like(z))) + squares(rows(z, x))).mean() / 2


@spectreg("probes-averaged", "sampler", "Σ_j ‖Jᵀr_j‖²", "the division by q forgotten", num_probes=2)
def probes_summed(model: nn.Module, x: Tensor) -> Tensor:
    x = own(x)
    z = model(x)
    return sum((squares(vjp(z, x, torch.randn_like(z))) for _ in range(2)), z.new_zeros(())).mean()


@spectreg("probe-law", "sampler", "‖Jᵀr₁‖²", "drawn once, before the loop", num_probes=2)
def one_probe_used_twice(model: nn.Module, x: Tensor) -> Tensor:
    x = own(x)
    z = model(x)
    r = torch.randn_like(z)
    return torch.stack([squares(vjp(z, x, r)) for _ in range(2)]).mean()


@spectreg("probe-law", "sampler", "r uniform on [−√3, √3]", "rand for randn")
def uniform_probes(model: nn.Module, x: Tensor) -> Tensor:
    return projected(model, x, lambda z: sqrt(12) * (torch.rand_like(z) - 0.5)).mean()


@spectreg("probe-law", "sampler", "r in {0, 1}", "bits for signs", probe="rademacher")
def bits_for_signs(model: nn.Module, x: Tensor) -> Tensor:
    return projected(model, x, lambda z: torch.randint_like(z, 0, 2)).mean()


@spectreg("probe-law", "sampler", "signs, + with chance 0.6", "a threshold off", probe="rademacher")
def biased_signs(model: nn.Module, x: Tensor) -> Tensor:
    return projected(model, x, lambda z: (torch.rand_like(z) - 0.4).sign()).mean()


@spectreg("probe-law", "sampler", "gaussian r", "declared rademacher", probe="rademacher")
def gaussian_for_signs(model: nn.Module, x: Tensor) -> Tensor:
    return projected(model, x, torch.randn_like).mean()


@spectreg("probe-law", "sampler", "r normalised over the batch", "dim=0 for dim=1", probe="sphere")
def normalised_over_the_batch(model: nn.Module, x: Tensor) -> Tensor:
    x = own(x)
    z = model(x)
    r = torch.randn_like(z)
    return squares(vjp(z, x, sqrt(len(z)) * r / r.norm(dim=0, keepdim=True))).mean()


@spectreg("probe-law", "sampler", "one r for the batch", "randn(m), not declared shared")
def one_probe_for_the_batch(model: nn.Module, x: Tensor) -> Tensor:
    return projected(model, x, lambda z: torch.randn_like(z[:1])).mean()


@spectreg("probe-law", "sampler", "the same r in every call", "a seed set in every step")
def seeded_in_every_call(model: nn.Module, x: Tensor) -> Tensor:
    x = own(x)
    z = model(x)
    g = torch.Generator(z.device).manual_seed(0)
    r = torch.empty_like(z).normal_(generator=g)
    return squares(vjp(z, x, r)).mean()


@spectreg("probe-law", "sampler", "√m e_c, c < m − 1", "the authors' scripts", probe="onehot")
def the_last_class_never_drawn(model: nn.Module, x: Tensor) -> Tensor:
    x = own(x)
    z = model(x)
    m = z.shape[1]
    c = torch.randint(0, max(1, m - 1), (len(z),), device=z.device)
    return squares(vjp(z, x, sqrt(m) * nn.functional.one_hot(c, m))).mean()


@spectreg("probe-law", "sampler", "the last row at 0.7 r", "a padded batch")
def the_last_row_narrower(model: nn.Module, x: Tensor) -> Tensor:
    def probes(z: Tensor) -> Tensor:
        r = torch.randn_like(z)
        return torch.cat([r[:-1], 0.7 * r[-1:]]) if len(z) > 8 else r

    return projected(model, x, probes).mean()


@spectreg("probe-law", "sampler", "signs in a batch of one", "a branch for B = 1")
def signs_in_a_batch_of_one(model: nn.Module, x: Tensor) -> Tensor:
    def probes(z: Tensor) -> Tensor:
        r = torch.randn_like(z)
        return r.sign() if len(z) == 1 else r

    return projected(model, x, probes).mean()


@spectreg("probe-law", "sampler", "+ with chance 0.53", "a coin off", probe="rademacher")
def bits_of_a_biased_coin(model: nn.Module, x: Tensor) -> Tensor:
    return projected(model, x, lambda z: 2 * torch.empty_like(z).bernoulli_(0.53) - 1).mean()


@spectreg("probe-law", "sampler", "+ with chance 0.52", "a threshold off", probe="rademacher")
def a_threshold_off(model: nn.Module, x: Tensor) -> Tensor:
    return projected(model, x, lambda z: (torch.rand_like(z) - 0.48).sign()).mean()
