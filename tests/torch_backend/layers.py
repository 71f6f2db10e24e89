"""Layers people train with, each in a small model, and what every mode makes of them.

``python tests/torch_backend/layers.py`` rewrites the table of docs/train.md; a test holds
the two together. Parameter gradients are held against a derivative of the penalty's *value* along
one direction, by differences of fourth order: nothing is differentiated twice to judge it.
"""

import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import gradreg_torch as gt
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

MODES = ("reverse", "forward", "finite_difference", "auto")
PAGE = Path(__file__).parents[2] / "docs" / "train.md"
LIMIT = 1e-6  # the differences that judge are good to about 1e-9


class Net(nn.Module):
    """f(x, *parts)."""

    def __init__(self, f: Callable[..., Tensor], *parts: nn.Module) -> None:
        super().__init__()
        self.f, self.parts = f, nn.ModuleList(parts)

    def forward(self, *x: Tensor) -> Tensor:
        return self.f(*x, *self.parts).flatten(1)


class Maximum(nn.Module):
    """Over the last axis."""

    def forward(self, x: Tensor) -> Tensor:
        return x.amax(-1)


@dataclass(frozen=True)
class Case:
    """A model by its maker, the shape of x, whether in training mode."""

    make: Callable[[], nn.Module]
    shape: tuple[int, ...] = (4, 6)
    train: bool = True


def between(layer: Callable[[], nn.Module], width: int = 6) -> Callable[[], nn.Module]:
    """Linear, the layer, tanh, linear."""
    return lambda: nn.Sequential(
        nn.Linear(6, 6), layer(), nn.Tanh(), nn.Flatten(), nn.Linear(width, 3)
    )


def image(layer: Callable[[], nn.Module], width: int) -> Callable[[], nn.Module]:
    """Convolution, the layer, tanh, linear, on (n, 2, 6, 6)."""
    return lambda: nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), layer(), nn.Tanh(), nn.Flatten(), nn.Linear(width, 3)
    )


def sequence(
    layer: Callable[[], nn.Module], call: Callable[..., Tensor]
) -> Callable[[], nn.Module]:
    """The layer on (n, t, 6), then a linear map of all of it."""
    return lambda: Net(
        lambda x, part, head: head(call(part, x).flatten(1)), layer(), nn.LazyLinear(3)
    )


ATTEND = lambda part, x: F.scaled_dot_product_attention(  # noqa: E731
    part(x)[:, None], x[:, None], x[:, None]
)
ENCODER = lambda: nn.TransformerEncoderLayer(6, 2, 8, 0.1, batch_first=True)  # noqa: E731
IMAGE, SEQUENCE = (4, 2, 6, 6), (4, 5, 6)
PART = lambda: nn.Sequential(nn.Linear(6, 6), nn.Tanh())  # noqa: E731

CASES: dict[str, Case] = {
    "linear, tanh": Case(between(nn.Identity)),
    **{
        name: Case(between(layer))
        for name, layer in {
            "ReLU in place": lambda: nn.ReLU(inplace=True),
            "GELU": nn.GELU,
            "SiLU": nn.SiLU,
            "softplus": nn.Softplus,
            "ELU, Mish": lambda: nn.Sequential(nn.ELU(), nn.Mish()),
            "SELU": nn.SELU,
            "PReLU": nn.PReLU,
            "hardswish": nn.Hardswish,
            "hardsigmoid": nn.Hardsigmoid,
            "softmax": lambda: nn.Softmax(1),
            "log-softmax": lambda: nn.LogSoftmax(1),
            "dropout": lambda: nn.Dropout(0.4),
            "layer norm": lambda: nn.LayerNorm(6),
            "maxout": lambda: nn.Sequential(nn.Unflatten(1, (3, 2)), Maximum(), nn.Linear(3, 6)),
            "RMS norm": lambda: nn.RMSNorm(6),
            "batch norm, training": lambda: nn.BatchNorm1d(6),
            "batch norm without statistics": lambda: nn.BatchNorm1d(6, track_running_stats=False),
            "spectral norm": lambda: nn.utils.parametrizations.spectral_norm(nn.Linear(6, 6)),
            "weight norm": lambda: nn.utils.parametrizations.weight_norm(nn.Linear(6, 6)),
        }.items()
    },
    "GLU": Case(between(lambda: nn.GLU(), width=3)),
    "batch norm, evaluation": Case(between(lambda: nn.BatchNorm1d(6)), train=False),
    **{
        name: Case(image(layer, width), IMAGE)
        for name, (layer, width) in {
            "convolution": (nn.Identity, 144),
            "grouped, dilated convolution": (
                lambda: nn.Conv2d(4, 4, 3, groups=2, dilation=2),
                16,
            ),
            "transposed convolution": (lambda: nn.ConvTranspose2d(4, 2, 3, 2), 338),
            "batch norm 2d, training": (lambda: nn.BatchNorm2d(4), 144),
            "group norm": (lambda: nn.GroupNorm(2, 4), 144),
            "instance norm": (lambda: nn.InstanceNorm2d(4, affine=True), 144),
            "local response norm": (lambda: nn.LocalResponseNorm(2), 144),
            "max pool": (lambda: nn.MaxPool2d(2), 36),
            "average pool": (lambda: nn.AvgPool2d(2), 36),
            "adaptive pools": (
                lambda: nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.AdaptiveMaxPool2d(2)),
                16,
            ),
            "upsampling": (lambda: nn.Upsample(scale_factor=2, mode="bilinear"), 576),
            "pixel shuffle": (lambda: nn.PixelShuffle(2), 144),
            "reflection padding": (lambda: nn.ReflectionPad2d(1), 256),
        }.items()
    },
    "grid_sample": Case(
        lambda: Net(
            lambda x, conv, head: head(
                F.grid_sample(conv(x), x.tanh().permute(0, 2, 3, 1), align_corners=False).flatten(1)
            ),
            nn.Conv2d(2, 2, 3),
            nn.Linear(72, 3),
        ),
        IMAGE,
    ),
    "LSTM": Case(
        sequence(lambda: nn.LSTM(6, 4, batch_first=True), lambda part, x: part(x)[0]), SEQUENCE
    ),
    "GRU": Case(
        sequence(lambda: nn.GRU(6, 4, batch_first=True), lambda part, x: part(x)[0]), SEQUENCE
    ),
    "RNN": Case(
        sequence(lambda: nn.RNN(6, 4, batch_first=True), lambda part, x: part(x)[0]), SEQUENCE
    ),
    "scaled dot-product attention": Case(sequence(lambda: nn.Linear(6, 6), ATTEND), SEQUENCE),
    "multi-head attention": Case(
        sequence(
            lambda: nn.MultiheadAttention(6, 2, batch_first=True),
            lambda part, x: part(x, x, x, need_weights=False)[0],
        ),
        SEQUENCE,
    ),
    "transformer encoder, training": Case(
        sequence(lambda: nn.TransformerEncoder(ENCODER(), 2), lambda part, x: part(x)), SEQUENCE
    ),
    "transformer encoder, evaluation": Case(
        sequence(lambda: nn.TransformerEncoder(ENCODER(), 2), lambda part, x: part(x)),
        SEQUENCE,
        train=False,
    ),
    "checkpoint": Case(
        lambda: Net(
            lambda x, part, head: head(checkpoint(part, x, use_reentrant=False)),
            PART(),
            nn.Linear(6, 3),
        )
    ),
    "checkpointed ReLU": Case(
        lambda: Net(
            lambda x, part, head: head(checkpoint(part, x, use_reentrant=False)),
            nn.Sequential(nn.Linear(6, 6), nn.ReLU()),
            nn.Linear(6, 3),
        )
    ),
    "checkpoint, reentrant": Case(
        lambda: Net(
            lambda x, part, head: head(checkpoint(part, x, use_reentrant=True)),
            PART(),
            nn.Linear(6, 3),
        )
    ),
    "cdist": Case(
        lambda: Net(
            lambda x, part, head: head(torch.cdist(part(x), x).flatten(1)),
            nn.Linear(6, 6),
            nn.Linear(25, 3),
        ),
        SEQUENCE,
    ),
    "compiled part": Case(
        lambda: nn.Sequential(torch.compile(PART(), backend="aot_eager"), nn.Linear(6, 3))
    ),
}


def made(case: Case) -> tuple[nn.Module, Tensor]:
    """The model and its inputs, in float64."""
    torch.manual_seed(0)
    model = case.make().double().train(case.train)
    x = torch.randn(case.shape, dtype=torch.float64)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model(x)  # lazy layers
    return model, x


def penalty(model: nn.Module, x: Tensor, mode: str) -> Tensor:
    """SpectReg with given probes, and given dropout masks."""
    torch.manual_seed(1)
    side = x[0].numel() if mode == "forward" else 3
    g = torch.Generator().manual_seed(2)
    probes = torch.randn(len(x), side, 1, generator=g, dtype=torch.float64)
    return gt.spectreg(model, x, probes=probes, mode=mode)


def by_differences(model: nn.Module, x: Tensor, mode: str, direction: list[Tensor]) -> float:
    """d/dt P(θ + t·direction): (8(P₁ − P₋₁) − (P₂ − P₋₂)) / 12h."""
    start, h = [p.detach().clone() for p in model.parameters()], 1e-3

    def value(t: float) -> float:
        with torch.no_grad():
            for p, s, d in zip(model.parameters(), start, direction, strict=True):
                p.copy_(s + t * h * d)
            return float(penalty(model, x, mode))

    p1, m1, p2, m2 = (value(t) for t in (1, -1, 2, -2))
    value(0)
    return (8 * (p1 - m1) - (p2 - m2)) / (12 * h)


def error_of(case: Case, mode: str) -> float:
    """Relative error of the parameter gradient along one direction."""
    model, x = made(case)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        value = penalty(model, x, mode)
        gradients = torch.autograd.grad(
            value, list(model.parameters()), allow_unused=True, materialize_grads=True
        )
        direction = [torch.randn_like(p) for p in model.parameters()]
        size = sum(float(d.square().sum()) for d in direction) ** 0.5
        direction = [d / size for d in direction]
        slope = sum(float((g * d).sum()) for g, d in zip(gradients, direction, strict=True))
        judge = "forward" if mode == "forward" else "finite_difference"
        expected = by_differences(model, x, judge, direction)
    return abs(slope - expected) / abs(expected)


def outcome(case: Case, mode: str) -> str:
    """ "right", "wrong", or the error."""
    try:
        error = error_of(case, mode)
    except (ValueError, TypeError) as refusal:
        return f"refused: {refusal}"
    return "right" if error < LIMIT else f"WRONG by {error:.1e}"


def table() -> str:
    """Layer × mode, in Markdown; a number for each refusal, with its words below."""
    refusals: list[str] = []
    lines = ["| layer | " + " | ".join(f"`{m}`" for m in MODES) + " |", "|---" * 5 + "|"]
    for name, case in CASES.items():
        cells = []
        for mode in MODES:
            said = outcome(case, mode)
            if said.startswith("refused: "):
                words = said.removeprefix("refused: ")
                if words not in refusals:
                    refusals.append(words)
                said = f"refused ({refusals.index(words) + 1})"
            cells.append(said)
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    notes = [f"{i}. {words}" for i, words in enumerate(refusals, 1)]
    return "\n".join([*lines, "", "What the refusals say:", "", *notes])


MARKS = re.compile(r"(?<=<!-- layers -->\n).*?(?=<!-- end -->)", re.DOTALL)

if __name__ == "__main__":
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(MARKS.sub(lambda _: f"\n{table()}\n\n", page), encoding="utf-8")
