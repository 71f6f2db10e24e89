"""Wrong ways to ‖Jᵀr‖²."""

from math import sqrt

import torch
from torch import Tensor, nn

from gradreg_verify.mistakes.torch.entries import own, rows, squares, vjp, wrong


@wrong(
    "spectreg-quadratic-form",
    "value",
    "½‖Jᵀr‖²",
    "facebookresearch/jacobian_regularizer",
    "spectreg",
)
def a_hidden_half(model: nn.Module, x: Tensor) -> Tensor:
    x = own(x)
    z = model(x)
    return squares(vjp(z, x, torch.randn_like(z))).mean() / 2


@wrong("spectreg-quadratic-form", "value", "‖Jᵀr‖", "the norm, not its square", "spectreg")
def the_norm_itself(model: nn.Module, x: Tensor) -> Tensor:
    x = own(x)
    z = model(x)
    return (squares(vjp(z, x, torch.randn_like(z))) + 1e-300).sqrt().mean()


@wrong(
    "spectreg-quadratic-form", "value", "‖(∂p/∂x)ᵀr‖²", "models that end in a softmax", "spectreg"
)
def of_probabilities(model: nn.Module, x: Tensor) -> Tensor:
    x = own(x)
    p = model(x).softmax(1)
    return squares(vjp(p, x, torch.randn_like(p))).mean()


@wrong(
    "spectreg-quadratic-form",
    "value",
    "‖(∂ log p/∂x)ᵀr‖²",
    "models that end in a log-softmax",
    "spectreg",
)
def of_log_probabilities(model: nn.Module, x: Tensor) -> Tensor:
    x = own(x)
    p = model(x).log_softmax(1)
    return squares(vjp(p, x, torch.randn_like(p))).mean()


@wrong("probe-law", "sampler", "‖Jᵀ1‖²", "the probe forgotten", "spectreg")
def without_a_probe(model: nn.Module, x: Tensor) -> Tensor:
    x = own(x)
    z = model(x)
    return squares(vjp(z, x, 1 + 0 * torch.randn_like(z))).mean()


@wrong("spectreg-unbiased", "value", "(1/m)‖Jᵀr‖²", "(z * r).mean(1) for the sum", "spectreg")
def projection_by_a_mean(model: nn.Module, x: Tensor) -> Tensor:
    x = own(x)
    z = model(x)
    return squares(vjp(z, x, torch.randn_like(z))).mean() / z.shape[1]


@wrong(
    "spectreg-unbiased",
    "sampler",
    "‖Jᵀu‖², ‖u‖ = 1",
    "a sphere without its m",
    "spectreg",
    probe="sphere",
)
def sphere_of_radius_one(model: nn.Module, x: Tensor) -> Tensor:
    x = own(x)
    z = model(x)
    r = torch.randn_like(z)
    return squares(vjp(z, x, r / r.norm(dim=1, keepdim=True))).mean()


@wrong(
    "spectreg-unbiased",
    "sampler",
    "√m ‖Jᵀu‖²",
    "√m outside of the square",
    "spectreg",
    probe="sphere",
)
def sphere_scaled_by_root_m(model: nn.Module, x: Tensor) -> Tensor:
    x = own(x)
    z = model(x)
    r = torch.randn_like(z)
    u = r / r.norm(dim=1, keepdim=True)
    return squares(vjp(z, x, u)).mean() * sqrt(z.shape[1])


@wrong(
    "gaussian-variance", "sampler", "0.81 ‖Jᵀr‖²", "gaussians of standard deviation 0.9", "spectreg"
)
def gaussians_too_narrow(model: nn.Module, x: Tensor) -> Tensor:
    x = own(x)
    z = model(x)
    return squares(vjp(z, x, 0.9 * torch.randn_like(z))).mean()


@wrong(
    "rademacher-variance",
    "sampler",
    "signs ±½",
    "randint(0, 2) − ½ for its double",
    "spectreg",
    probe="rademacher",
)
def half_signs(model: nn.Module, x: Tensor) -> Tensor:
    x = own(x)
    z = model(x)
    return squares(vjp(z, x, torch.randint_like(z, 0, 2) - 0.5)).mean()


@wrong(
    "sphere-variance",
    "sampler",
    "(m/2)‖Jᵀu‖²",
    "½ of the definition, undeclared",
    "spectreg",
    probe="sphere",
)
def half_on_the_sphere(model: nn.Module, x: Tensor) -> Tensor:
    x = own(x)
    z = model(x)
    r = torch.randn_like(z)
    u = r / r.norm(dim=1, keepdim=True)
    return squares(vjp(z, x, u)).mean() * z.shape[1] / 2


@wrong(
    "spectreg-quadratic-form",
    "sampler",
    "½(‖Jᵀr‖² + ‖J‖²_F)",
    "a control variate, half subtracted",
    "spectreg",
)
def half_exact(model: nn.Module, x: Tensor) -> Tensor:
    x = own(x)
    z = model(x)
    return (squares(vjp(z, x, torch.randn_like(z))) + squares(rows(z, x))).mean() / 2


@wrong(
    "probes-averaged",
    "sampler",
    "Σ_j ‖Jᵀr_j‖²",
    "the division by q forgotten",
    "spectreg",
    num_probes=2,
)
def probes_summed(model: nn.Module, x: Tensor) -> Tensor:
    x = own(x)
    z = model(x)
    return sum((squares(vjp(z, x, torch.randn_like(z))) for _ in range(2)), z.new_zeros(())).mean()


@wrong("probe-law", "sampler", "‖Jᵀr₁‖²", "drawn once, before the loop", "spectreg", num_probes=2)
def one_probe_used_twice(model: nn.Module, x: Tensor) -> Tensor:
    x = own(x)
    z = model(x)
    r = torch.randn_like(z)
    return torch.stack([squares(vjp(z, x, r)) for _ in range(2)]).mean()


@wrong("probe-law", "sampler", "r uniform on [−√3, √3]", "rand for randn", "spectreg")
def uniform_probes(model: nn.Module, x: Tensor) -> Tensor:
    x = own(x)
    z = model(x)
    return squares(vjp(z, x, sqrt(12) * (torch.rand_like(z) - 0.5))).mean()


@wrong("probe-law", "sampler", "r in {0, 1}", "bits for signs", "spectreg", probe="rademacher")
def bits_for_signs(model: nn.Module, x: Tensor) -> Tensor:
    x = own(x)
    z = model(x)
    return squares(vjp(z, x, torch.randint_like(z, 0, 2))).mean()


@wrong(
    "probe-law",
    "sampler",
    "signs, + with chance 0.6",
    "a threshold off",
    "spectreg",
    probe="rademacher",
)
def biased_signs(model: nn.Module, x: Tensor) -> Tensor:
    x = own(x)
    z = model(x)
    return squares(vjp(z, x, (torch.rand_like(z) - 0.4).sign())).mean()


@wrong("probe-law", "sampler", "gaussian r", "declared rademacher", "spectreg", probe="rademacher")
def gaussian_for_signs(model: nn.Module, x: Tensor) -> Tensor:
    x = own(x)
    z = model(x)
    return squares(vjp(z, x, torch.randn_like(z))).mean()


@wrong(
    "probe-law",
    "sampler",
    "r normalised over the batch",
    "dim=0 for dim=1",
    "spectreg",
    probe="sphere",
)
def normalised_over_the_batch(model: nn.Module, x: Tensor) -> Tensor:
    x = own(x)
    z = model(x)
    r = torch.randn_like(z)
    return squares(vjp(z, x, sqrt(len(z)) * r / r.norm(dim=0, keepdim=True))).mean()


@wrong("probe-law", "sampler", "one r for the batch", "randn(m), not declared shared", "spectreg")
def one_probe_for_the_batch(model: nn.Module, x: Tensor) -> Tensor:
    x = own(x)
    z = model(x)
    return squares(vjp(z, x, torch.randn_like(z[:1]))).mean()


@wrong("probe-law", "sampler", "the same r in every call", "a seed set in every step", "spectreg")
def seeded_in_every_call(model: nn.Module, x: Tensor) -> Tensor:
    x = own(x)
    z = model(x)
    g = torch.Generator(z.device).manual_seed(0)
    r = torch.empty_like(z).normal_(generator=g)
    return squares(vjp(z, x, r)).mean()


@wrong(
    "probe-law", "sampler", "√m e_c, c < m − 1", "the authors' scripts", "spectreg", probe="onehot"
)
def the_last_class_never_drawn(model: nn.Module, x: Tensor) -> Tensor:
    x = own(x)
    z = model(x)
    m = z.shape[1]
    c = torch.randint(0, max(1, m - 1), (len(z),), device=z.device)
    return squares(vjp(z, x, sqrt(m) * nn.functional.one_hot(c, m))).mean()


@wrong("probe-law", "dtype", "signs of a float rounded to 2 digits", "coarse uniforms", "spectreg")
def coarse_gaussians(model: nn.Module, x: Tensor) -> Tensor:
    x = own(x)
    z = model(x)
    return squares(vjp(z, x, (2 * torch.randn_like(z)).round() / 2)).mean()


@wrong(
    "values-per-example",
    "batch",
    "(1/B²) Σ_b ‖J_bᵀr_b‖²",
    "(z * r).sum(1).mean() differentiated",
    "spectreg",
)
def derivative_of_a_batch_mean(model: nn.Module, x: Tensor) -> Tensor:
    x = own(x)
    z = model(x)
    return squares(vjp(z, x, torch.randn_like(z) / len(z))).sum()


@wrong(
    "values-per-example",
    "batch",
    "‖Σ_b J_bᵀr_b‖² / B",
    "gradients summed, then squared",
    "spectreg",
)
def gradient_summed_over_the_batch(model: nn.Module, x: Tensor) -> Tensor:
    x = own(x)
    z = model(x)
    return vjp(z, x, torch.randn_like(z)).sum(0).square().sum() / len(z)


@wrong("values-per-example", "shape", "raises for m ≠ 10", "randn(B, 10)", "spectreg")
def probes_for_ten_classes(model: nn.Module, x: Tensor) -> Tensor:
    x = own(x)
    z = model(x)
    return squares(vjp(z, x, torch.randn(len(z), 10, dtype=z.dtype, device=z.device))).mean()


@wrong("training-gradient", "gradient", "‖Jᵀr‖², ∇ = 0", "create_graph forgotten", "spectreg")
def no_create_graph(model: nn.Module, x: Tensor) -> Tensor:
    x = own(x)
    z = model(x)
    return squares(vjp(z, x, torch.randn_like(z), create_graph=False)).mean()


@wrong("training-gradient", "gradient", "½∇‖Jᵀr‖²", "v·v.detach()", "spectreg")
def one_factor_detached(model: nn.Module, x: Tensor) -> Tensor:
    x = own(x)
    z = model(x)
    v = vjp(z, x, torch.randn_like(z))
    return (v * v.detach()).sum(1).mean()


@wrong("repeatable", "conduct", "other probes each time", "a generator of its own", "spectreg")
def a_generator_of_its_own(model: nn.Module, x: Tensor) -> Tensor:
    x = own(x)
    z = model(x)
    g = torch.Generator()
    g.seed()
    return squares(vjp(z, x, torch.randn(z.shape, generator=g, dtype=z.dtype))).mean()
