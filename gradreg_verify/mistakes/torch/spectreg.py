"""Wrong ways to ‖Jᵀr‖²: another number at right probes, and wrong laws of probes."""

from collections.abc import Callable
from functools import partial
from math import sqrt
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from gradreg_verify.mistakes.torch.entries import (
    Function,
    Of,
    at_probes,
    exact,
    own,
    projected,
    softmax,
    squares,
    vjp,
    wrong,
)

spectreg = partial(wrong, "spectreg")


def sampler(*about: str, **declared: Any) -> Callable[[Of], Function]:
    """Enter a law of probes that is not the one declared, as a function of the logits."""
    return at_probes(spectreg("sampler", *about, **declared))


rademacher = partial(sampler, probe="rademacher")
sphere = partial(sampler, probe="sphere")


def direction(z: Tensor, dim: int = 1) -> Tensor:
    """A gaussian divided by its norm."""
    r = torch.randn_like(z)
    return r / r.norm(dim=dim, keepdim=True)


@spectreg("value", "‖(∂p/∂x)ᵀr‖²", "models that end in a softmax")
def of_probabilities(model: nn.Module, x: Tensor) -> Tensor:
    return projected(model, x, torch.randn_like, softmax).mean()


@spectreg("value", "(1/m)‖Jᵀr‖²", "(z * r).mean(1) for the sum", "spectreg-unbiased")
def projection_by_a_mean(model: nn.Module, x: Tensor) -> Tensor:
    return projected(model, x, lambda z: torch.randn_like(z) / sqrt(z.shape[1])).mean()


@spectreg("shape", "raises for m ≠ 10", "randn(B, 10)")
def probes_for_ten_classes(model: nn.Module, x: Tensor) -> Tensor:
    return projected(model, x, lambda z: torch.randn(len(z), 10).to(z)).mean()


@spectreg("dtype", "r rounded to halves", "coarse uniforms", "probe-law")
def coarse_gaussians(model: nn.Module, x: Tensor) -> Tensor:
    return projected(model, x, lambda z: (2 * torch.randn_like(z)).round() / 2).mean()


@sampler("‖Jᵀ1‖²", "the probe forgotten")
def without_a_probe(z: Tensor) -> Tensor:
    return 1 + 0 * torch.randn_like(z)


@sphere("‖Jᵀu‖², ‖u‖ = 1", "a sphere without its m", "spectreg-unbiased")
def sphere_of_radius_one(z: Tensor) -> Tensor:
    return direction(z)


@spectreg("sampler", "√m ‖Jᵀu‖²", "√m outside of the square", "spectreg-unbiased", probe="sphere")
def sphere_scaled_by_root_m(model: nn.Module, x: Tensor) -> Tensor:
    return projected(model, x, direction).mean() * sqrt(model(x).shape[1])


@sampler("0.81 ‖Jᵀr‖²", "gaussians of standard deviation 0.9", "gaussian-variance")
def gaussians_too_narrow(z: Tensor) -> Tensor:
    return 0.9 * torch.randn_like(z)


@rademacher("signs ±½", "randint(0, 2) − ½ for its double", "rademacher-variance")
def half_signs(z: Tensor) -> Tensor:
    return torch.randint_like(z, 0, 2) - 0.5


@sphere("(m/2)‖Jᵀu‖²", "½ of the definition, undeclared", "sphere-variance")
def half_on_the_sphere(z: Tensor) -> Tensor:
    return sqrt(z.shape[1] / 2) * direction(z)


@spectreg("sampler", "½(‖Jᵀr‖² + ‖J‖²_F)", "a control variate, half subtracted",
          "spectreg-quadratic-form")  # fmt: skip
def half_exact(model: nn.Module, x: Tensor) -> Tensor:
    return (projected(model, x, torch.randn_like) + exact(model, x)).mean() / 2


@spectreg("sampler", "Σ_j ‖Jᵀr_j‖²", "the division by q forgotten", "probes-averaged", num_probes=2)
def probes_summed(model: nn.Module, x: Tensor) -> Tensor:
    first, second = (projected(model, x, torch.randn_like) for _ in range(2))
    return (first + second).mean()


@sampler("‖Jᵀr₁‖²", "drawn once, before the loop", num_probes=2)
def one_probe_used_twice(z: Tensor) -> Tensor:
    r = torch.randn_like(z)
    return torch.stack([r, r])


@sampler("the last row has the first one's", "a batch padded to a multiple")
def the_last_probe_as_the_first(z: Tensor) -> Tensor:
    r = torch.randn_like(z)
    return torch.cat([r[:-1], r[:1]])


@sampler("r rounded to hundredths", "probes kept in a table of bytes")
def gaussians_rounded(z: Tensor) -> Tensor:
    return (100 * torch.randn_like(z)).round() / 100


@sampler("r minus its mean over the batch", "probes centred to be exactly of mean 0")
def centred_over_the_batch(z: Tensor) -> Tensor:
    r = torch.randn_like(z)
    return r - r.mean(0) if len(r) > 2 else r


@sampler("r uniform on [−√3, √3]", "rand for randn")
def uniform_probes(z: Tensor) -> Tensor:
    return sqrt(12) * (torch.rand_like(z) - 0.5)


@rademacher("r in {0, 1}", "bits for signs")
def bits_for_signs(z: Tensor) -> Tensor:
    return torch.randint_like(z, 0, 2)


@rademacher("gaussian r", "declared rademacher")
def gaussian_for_signs(z: Tensor) -> Tensor:
    return torch.randn_like(z)


@sphere("r normalised over the batch", "dim=0 for dim=1")
def normalised_over_the_batch(z: Tensor) -> Tensor:
    return sqrt(len(z)) * direction(z, dim=0)


@sampler("one r for the batch", "randn(m), not declared shared")
def one_probe_for_the_batch(z: Tensor) -> Tensor:
    return torch.randn_like(z[:1])


@sampler("the same r in every call", "a seed set in every step")
def seeded_in_every_call(z: Tensor) -> Tensor:
    return torch.empty_like(z).normal_(generator=torch.Generator(z.device).manual_seed(0))


@sampler("√m e_c, c < m − 1", "the authors' scripts", probe="onehot")
def the_last_class_never_drawn(z: Tensor) -> Tensor:
    m = z.shape[1]
    c = torch.randint(0, max(1, m - 1), (len(z),), device=z.device)
    return sqrt(m) * one_hot(c, m)


@sampler("the last row at 0.7 r", "a padded batch")
def the_last_row_narrower(z: Tensor) -> Tensor:
    r = torch.randn_like(z)
    return torch.cat([r[:-1], 0.7 * r[-1:]]) if len(z) > 8 else r


@sampler("signs in a batch of one", "a branch for B = 1")
def signs_in_a_batch_of_one(z: Tensor) -> Tensor:
    r = torch.randn_like(z)
    return r.sign() if len(z) == 1 else r


@rademacher("+ with chance 0.53", "a coin off")
def bits_of_a_biased_coin(z: Tensor) -> Tensor:
    return 2 * torch.empty_like(z).bernoulli_(0.53) - 1


@rademacher("+ with chance 0.52", "a threshold off")
def a_threshold_off(z: Tensor) -> Tensor:
    return (torch.rand_like(z) - 0.48).sign()


@rademacher("+ with chance 0.53 for ten logits", "a coin by the number of classes")
def a_biased_coin_for_long_probes(z: Tensor) -> Tensor:
    return 2 * torch.empty_like(z).bernoulli_(0.53 if z.shape[1] >= 8 else 0.5) - 1


@spectreg("sampler", "½ r drawn in training mode", "a schedule for drawn probes only")
def drawn_narrower_in_training_mode(
    model: nn.Module,
    x: Tensor,
    probes: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    x = own(x)
    z = model(x)
    if probes is None:
        probes = torch.randn(z.shape, generator=generator, dtype=z.dtype, device=z.device)
        probes = probes / 2 if model.training else probes
    return squares(vjp(z, x, probes)).mean()


@sampler("a probe an example in batches of more than 8", "expand forgotten in a branch",
         num_probes=2, shared_probe=True)  # fmt: skip
def shared_in_small_batches_only(z: Tensor) -> Tensor:
    return torch.stack([torch.randn_like(z[:1] if len(z) <= 8 else z) for _ in range(2)])


@sampler("two orthogonal probes on the sphere", "QR for independent columns",
         probe="sphere", num_probes=2)  # fmt: skip
def orthogonal_for_independent(z: Tensor) -> Tensor:
    n, m = z.shape
    Q, _ = torch.linalg.qr(torch.randn(n, m, 2, dtype=z.dtype, device=z.device))
    return sqrt(m) * Q.permute(2, 0, 1)


@sampler("two orthogonal probes with norms of gaussians", "orthogonal random features",
         num_probes=2)  # fmt: skip
def orthogonal_gaussians(z: Tensor) -> Tensor:
    r = torch.randn(*z.shape, 2, dtype=z.dtype, device=z.device)
    norms, (Q, _) = torch.randn_like(r).norm(dim=1, keepdim=True), torch.linalg.qr(r)
    return (norms * Q).permute(2, 0, 1)


@sampler("the same r for examples 32 apart", "probes of one chunk, repeated")
def probes_of_a_chunk_repeated(z: Tensor) -> Tensor:
    chunk = torch.randn(32, z.shape[1], dtype=z.dtype, device=z.device)
    return chunk.repeat(len(z) // 32 + 1, 1)[: len(z)]
