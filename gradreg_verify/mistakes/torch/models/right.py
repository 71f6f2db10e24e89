"""Models that look odd and are right: `check_model` must mark no line as wrong."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gradreg_verify.mistakes.torch.models.model import Model, Net, mlp, of


def residual(m: Any, x: Tensor) -> Any:
    """A block with batch norm and a sum, for images."""
    h = F.relu(m.a(m.conv(x)))
    return m.last(F.relu(h + m.b(m.body(h))).mean((2, 3)))


def shared(m: Any, x: Tensor) -> Any:
    """One layer used three times, and its weight once more, transposed."""
    for _ in range(3):
        x = torch.tanh(m.one(x))
    return m.last(x @ m.one.weight)


def residual_net() -> Net:
    """Build a residual net with batch norm."""
    conv, body = nn.Conv2d(1, 3, 3, padding=1), nn.Conv2d(3, 3, 3, padding=1)
    a, b = nn.BatchNorm2d(3), nn.BatchNorm2d(3)
    return Net(residual, conv=conv, a=a, b=b, body=body, last=nn.Linear(3, 3))


def transformer() -> Net:
    """One encoder block, in training mode, for embeddings (n, t, 4)."""
    layer = nn.TransformerEncoderLayer(4, 2, 8, dropout=0.1, batch_first=True)
    return Net(lambda m, x: m.last(m.layer(x).mean(1)), layer=layer, last=nn.Linear(4, 3))


def frozen() -> nn.Sequential:
    """A first layer that is frozen, and batch norm kept in evaluation mode."""
    first, norm = nn.Linear(4, 5).requires_grad_(False), nn.BatchNorm1d(5).eval()
    return nn.Sequential(*(first, nn.Tanh(), norm, nn.Linear(5, 5), nn.Tanh(), nn.Linear(5, 3)))


def lenet() -> nn.Sequential:
    """Convolution, ReLU, pool."""
    return nn.Sequential(
        *(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(12, 3))
    )


def zero_at_first() -> nn.Sequential:
    """A last layer of zeros: J is zero until the loss has moved it."""
    last = nn.Linear(5, 3)
    for p in last.parameters():
        nn.init.zeros_(p)
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), last)


def last_of(layer: type[nn.Module]) -> nn.Sequential:
    """A recurrent layer, batch first, and its last output."""
    return nn.Sequential(layer(4, 5, batch_first=True), of(lambda h: h[0][:, -1, :3]))


RIGHT = (
    Model("LeNet", lenet, (1, 6, 6)),
    Model("residual net with batch norm", residual_net, (1, 6, 6)),
    Model("transformer block", transformer, (5, 4)),
    Model("dropout", lambda: mlp(nn.Dropout())),
    Model("cosine", lambda: mlp(torch.cos)),
    Model("GRU", lambda: last_of(nn.GRU), (7, 4)),
    Model("LSTM, batch first", lambda: last_of(nn.LSTM), (7, 4)),
    Model(
        "one layer used three times", lambda: Net(shared, one=nn.Linear(4, 4), last=nn.Linear(4, 3))
    ),
    Model("frozen layers", frozen),
    Model("a last layer of zeros", zero_at_first),
    Model("gated by where", lambda: mlp(lambda h: torch.where(h > 0, h.sin(), 0.1 * h * h))),
)
