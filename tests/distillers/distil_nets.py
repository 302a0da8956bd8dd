"""Small networks to distil, with the habits that this has to survive."""

from __future__ import annotations

from types import SimpleNamespace

import torch
from torch import Tensor, nn

from stillroom import Distiller, Term
from stillroom.losses import L2, KLDivergence


class Net(nn.Module):
    """Images (N, 3, 4, 4) to logits (N, 5); the activation overwrites the norm's output, one module never runs."""

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, width, 3, padding=1)
        self.norm = nn.BatchNorm2d(width)
        self.act = nn.ReLU(inplace=True)
        self.unused = nn.Linear(2, 2)
        self.drop = nn.Dropout(0.1)
        self.head = nn.Linear(width, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.drop(self.act(self.norm(self.conv(x))).mean((2, 3))))


class Mlp(nn.Module):
    """Vectors (N, 6) to logits (N, 5)."""

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.body = nn.Linear(6, width)
        self.head = nn.Linear(width, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x).tanh())


class Worded(Mlp):
    """Called with keywords, as language models are; returns a dict."""

    def forward(self, x: Tensor, mask: Tensor) -> dict[str, Tensor]:
        return {"hidden": self.body(x * mask), "logits": super().forward(x * mask)}


class Object(Mlp):
    """Returns an object with ``.logits``."""

    def forward(self, x: Tensor) -> SimpleNamespace:
        return SimpleNamespace(logits=super().forward(x))


class Counted(Mlp):
    """Counts how often it runs."""

    runs = 0

    def forward(self, x: Tensor) -> Tensor:
        self.runs += 1
        return super().forward(x)


class Spy(nn.Module):
    """Notes what it was called with."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[dict[str, object]] = []

    def note(self, **given: object) -> Tensor:
        self.calls.append(given)
        return torch.zeros((), requires_grad=True)


class CountedConnector(nn.Linear):
    """A connector that counts how often it runs."""

    runs = 0

    def forward(self, x: Tensor) -> Tensor:
        self.runs += 1
        return super().forward(x)


def images(count: int = 4) -> Tensor:
    return torch.randn(count, 3, 4, 4, generator=torch.Generator().manual_seed(count))


def vectors(count: int = 4) -> Tensor:
    return torch.randn(count, 6, generator=torch.Generator().manual_seed(count))


def labels(count: int = 4) -> Tensor:
    return torch.arange(count) % 5


def hint(site: str = "norm", **options: object) -> Term:
    return Term(L2(), student=site, teacher=site, connector="auto", **options)


def prepared(student: nn.Module | None = None, teacher: nn.Module | None = None) -> Distiller:
    """KL of the outputs and a hint before the activation, prepared on images."""
    torch.manual_seed(0)
    student, teacher = student or Net(4), teacher or Net(6)
    distiller = Distiller(student, teacher, terms={"kl": Term(KLDivergence(tau=4.0)), "hint": hint()})
    distiller.prepare(images())
    return distiller


def bits(module: nn.Module) -> dict[str, Tensor]:
    """A copy of all parameters and buffers."""
    return {name: value.detach().clone() for name, value in module.state_dict().items()}


def hooks(model: nn.Module) -> int:
    """How many hooks there are on a model."""
    return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules())
