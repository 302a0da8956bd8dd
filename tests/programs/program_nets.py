"""Networks to trace, and what to compare of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves


class Block(nn.Module):
    """A residual block with one activation that is called twice, in place."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width)
        self.conv2, self.norm2 = nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width)
        self.act = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm2(self.conv2(self.act(self.norm1(self.conv1(x)))))
        y += x
        return self.act(y)


class Net(nn.Module):
    """Images (N, 3, 8, 8) to logits (N, 5)."""

    def __init__(self, width: int = 4, blocks: int = 2) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, width, 3, padding=1)
        self.blocks = nn.Sequential(*(Block(width) for _ in range(blocks)))
        self.fc = nn.Linear(width, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.blocks(self.stem(x)).mean((2, 3)))


class Mlp(nn.Module):
    """Vectors (N, 6) to logits (N, 5)."""

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.body = nn.Linear(6, width)
        self.head = nn.Linear(width, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x).tanh())


class Does(nn.Module):
    """Does what a function says, on a module with parameters and a buffer."""

    def __init__(self, what: Callable[[Any, Tensor], Any]) -> None:
        super().__init__()
        self.what = what
        self.lin = nn.Linear(6, 6)
        self.norm = nn.BatchNorm1d(6)
        self.relu = nn.ReLU(inplace=True)
        self.register_buffer("mean", torch.zeros(6))

    def forward(self, x: Tensor) -> Any:
        return self.what(self, x)


def images(count: int = 2, size: int = 8) -> Tensor:
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(count))


def vectors(count: int = 4) -> Tensor:
    return torch.randn(count, 6, generator=torch.Generator().manual_seed(count))


def bits(module: nn.Module) -> dict[str, Tensor]:
    """A copy of all parameters and buffers."""
    return {name: value.detach().clone() for name, value in module.state_dict().items()}


class Step(NamedTuple):
    """What one step gives: everything that must be equal to the bit."""

    output: Any
    gradients: list[Tensor | None]
    buffers: list[Tensor]


def stepped(run: Callable[[Tensor], Any], model: nn.Module, x: Tensor, *, training: bool, seed: int = 3) -> Step:
    """One forward and backward pass in a mode."""
    model.train(training).zero_grad()
    torch.manual_seed(seed)
    output = run(x)
    sum(leaf.float().square().sum() for leaf in tree_leaves(output)).backward()
    gradients = [None if parameter.grad is None else parameter.grad.clone() for parameter in model.parameters()]
    return Step(output, gradients, [buffer.clone() for buffer in model.buffers()])


def assert_same(found: Any, expected: Any) -> None:
    """Equal to the bit, with equal structure."""
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
