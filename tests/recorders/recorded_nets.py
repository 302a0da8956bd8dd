"""Small networks with the habits that recording has to survive."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn


class Net(nn.Module):
    """The activation overwrites the norm's output, and one module never runs."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.act = nn.ReLU(inplace=True)
        self.unused = nn.Linear(2, 2)
        self.head = nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.act(self.norm(self.conv(x))).mean((2, 3)))


class Skip(nn.Module):
    """Adds to its convolution's output in place."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        y += x
        return y


class Thrice(nn.Module):
    """One module runs three times."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.head(self.head(x)))


class Block(nn.Module):
    def forward(self, x: Tensor, other: Tensor | None = None, *, scale: float = 1.0) -> Tensor:
        return x * scale if other is None else x + other


class Caller(nn.Module):
    """Calls a module in every way."""

    def __init__(self) -> None:
        super().__init__()
        self.block = Block()

    def forward(self, x: Tensor) -> Tensor:
        y = self.block(x)
        y = self.block(x=y)
        y = self.block(y, x)
        return self.block(y, scale=2.0)


class Output(NamedTuple):
    logits: Tensor
    hidden: list[Tensor]


class Several(nn.Module):
    """Returns a dict with a named tuple in it."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(4, 3), nn.Linear(3, 2)

    def forward(self, x: Tensor) -> dict[str, object]:
        hidden = self.body(x)
        logits = self.head(hidden)
        return {"logits": logits, "full": Output(logits, [x, hidden])}


def hooks(model: nn.Module) -> int:
    """How many hooks there are on a model, of any kind."""
    return sum(
        len(getattr(module, kind))
        for module in model.modules()
        for kind in ("_forward_hooks", "_forward_pre_hooks", "_forward_pre_hooks_with_kwargs", "_backward_hooks")
    )


def images(count: int = 2) -> Tensor:
    return torch.randn(count, 3, 4, 4, generator=torch.Generator().manual_seed(count))
