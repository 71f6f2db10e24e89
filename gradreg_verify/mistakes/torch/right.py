"""Right implementations, each written in another way: the kit must flag none of them."""

from math import sqrt

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, jacrev, jvp, vmap

from gradreg_verify.mistakes.torch.entries import (
    exact,
    gradient,
    jacobian,
    own,
    projected,
    right,
    rows,
    softmax,
    squares,
    vjp,
)


@right("‖J‖²_F, row by row", "frobreg")
def naive(model: nn.Module, x: Tensor) -> Tensor:
    x = own(x)
    J = [torch.autograd.grad(z.sum(), x, create_graph=True)[0] for z in model(x).unbind(1)]
    return torch.stack([squares(g) for g in J]).sum(0).mean()


@right("‖J‖²_F by vmap and jacrev", "frobreg")
def functional(model: nn.Module, x: Tensor) -> Tensor:
    parameters = dict(model.named_parameters()) | dict(model.named_buffers())

    def logits(one: Tensor) -> Tensor:
        return functional_call(model, parameters, (one[None],))[0]

    return squares(vmap(jacrev(logits))(x)).mean()


@right("‖J‖²_F = tr JJᵀ, explicit", "frobreg", reduction="sum")
def trace_of_the_gram_matrix(model: nn.Module, x: Tensor) -> Tensor:
    J = jacobian(model, x)
    return torch.einsum("nki,nki->", J, J)


@right("‖J‖²_F as the square of its root", "frobreg", reduction="none")
def a_root_squared(model: nn.Module, x: Tensor) -> Tensor:
    return (exact(model, x) + 1e-30).sqrt().square()


@right("‖J‖²_F, classes backwards", "frobreg", scale=3.0)
def classes_backwards_and_scaled(model: nn.Module, x: Tensor) -> Tensor:
    return 3 * exact(model, x, lambda z: z.flip(1)).mean()


@right("½·mean ‖J‖²_F, sphere probes", "spectreg", probe="sphere", scale=0.5)
def sphere_with_a_half(x: Tensor, logits: Tensor) -> Tensor:
    m = logits.shape[1]
    r = torch.randn_like(logits)
    u = r / r.norm(dim=1, keepdim=True)
    (v,) = torch.autograd.grad(logits, x, u, create_graph=True, retain_graph=True)
    return 0.5 * m * v.square().sum() / len(x)


@right("signs flipped", "spectreg")
def minus_the_probe(logits: Tensor, x: Tensor) -> Tensor:
    return squares(vjp(logits, x, -torch.randn_like(logits))).mean()


@right("three probes in a loop", "spectreg", num_probes=3, reduction="sum")
def three_probes(model: nn.Module, x: Tensor) -> Tensor:
    return torch.stack([projected(model, x, torch.randn_like) for _ in range(3)]).mean(0).sum()


@right("two probes, drawn at once, class axis last", "spectreg", num_probes=2)
def two_probes_at_once(model: nn.Module, x: Tensor, generator: torch.Generator) -> Tensor:
    def probes(z: Tensor) -> Tensor:
        return torch.randn(2, *z.shape, generator=generator, dtype=z.dtype, device=z.device)

    return projected(model, x, probes).mean()


@right("‖Jv‖² by differentiating twice", "spectreg", side="input")
def input_side(model: nn.Module, x: Tensor, probes: Tensor) -> Tensor:
    return squares(jacobian(model, x) @ probes).mean() / probes.shape[2]


@right("‖Jv‖² by forward mode", "spectreg", side="input")
def forward_mode(model: nn.Module, x: Tensor) -> Tensor:
    Jv = jvp(model, (x,), (torch.randn_like(x),))[1]
    return squares(Jv).mean()


@right("summed loss", "doubleback")
def of_the_summed_loss(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    return squares(gradient(model, x, lambda z: F.cross_entropy(z, y, reduction="sum"))).mean()


@right("mean loss, times B²", "doubleback", reduction="sum")
def of_the_mean_loss_mended(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    return len(x) ** 2 * gradient(model, x, lambda z: F.cross_entropy(z, y)).square().sum()


@right("½, as tulip has it", "doubleback", scale=0.5, loss="mean_squared_error")
def regression_with_a_half(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    g = gradient(model, x, lambda z: F.mse_loss(z, y, reduction="none").mean(1).sum())
    return squares(g).mean() / 2


@right("Jacobian of the softmax itself", "jacreg")
def rows_of_probabilities(model: nn.Module, x: Tensor) -> Tensor:
    return exact(model, x, softmax).mean()


@right("projected: Jᵀ S r is (∂p/∂x)ᵀ r", "jacreg", probe="rademacher")
def projected_probabilities(model: nn.Module, x: Tensor) -> Tensor:
    return projected(model, x, lambda p: 2 * torch.randint_like(p, 0, 2) - 1, softmax).mean()


@right("gather", "onehot", reduction="none")
def gathered(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    return squares(gradient(model, x, lambda z: z.gather(1, y[:, None]).sum()))


@right("minus an entropy", "confidence_penalty")
def minus_the_entropy(logits: Tensor) -> Tensor:
    return -torch.distributions.Categorical(logits=logits).entropy().mean()  # type: ignore[no-untyped-call]


@right("half the squared norm of every weight", "weight_decay", scale=0.5)
def half_the_squared_norms(model: nn.Module) -> Tensor:
    W = torch.cat([p.flatten() for p in model.parameters() if p.ndim > 1])
    return sqrt(0.25) * W @ W


class JacobianPenalty(nn.Module):
    """A module with a forward(x, logits), as the most copied penalty is."""

    def forward(self, x: Tensor, logits: Tensor) -> Tensor:
        """½·mean ‖J‖²_F, all rows."""
        return 0.5 * squares(rows(logits, x)).mean()


right("½‖J‖²_F as a module", "frobreg", scale=0.5)(JacobianPenalty())
