"""Functions, methods and networks whose calls are recorded."""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass
from functools import cached_property, wraps
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Pair(NamedTuple):
    mean: Tensor
    spread: Tensor


@dataclass
class Scored:
    boxes: Tensor
    scores: list[Tensor]


class ModelOutput(OrderedDict[str, Tensor]):
    """As Hugging Face's: a dict whose keys are attributes too, and which leaves out what is None."""

    def __init__(self, **fields: Tensor | None) -> None:
        super().__init__({name: value for name, value in fields.items() if value is not None})
        for name, value in self.items():
            object.__setattr__(self, name, value)


def scale(x: Tensor, factor: float = 2.0, *extra: int, bias: float = 0.0) -> Tensor:
    del extra
    return x * factor + bias


def overwrite(x: Tensor) -> Tensor:
    """Its argument is another one afterwards."""
    return x.mul_(0).add_(7)


def everything(x: Tensor) -> dict[str, object]:
    return {
        "pair": Pair(x, x + 1),
        "scored": Scored(x + 2, [x + 3, x + 4]),
        "output": ModelOutput(logits=x + 5, hidden=None, last=x + 6),
        "list": [(x + 7,), {0: x + 8}],
    }


def with_factor(function: Any) -> Any:
    """Shows the names of what it decorates, and takes others."""

    @wraps(function)
    def call(*args: Tensor, times: float) -> Tensor:
        return function(*args) * times

    return call


@with_factor
def shifted(x: Tensor, by: float = 1.0) -> Tensor:
    return x + by


class Times(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return x * factor

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient * ctx.factor, None


class TimesMore(Times):
    @staticmethod
    def forward(ctx: Any, x: Tensor, factor: float) -> Tensor:
        return Times.forward(ctx, x, 10 * factor)


def fails(x: Tensor) -> Tensor:
    raise ZeroDivisionError(x.shape)


class Head:
    def __init__(self, weight: float) -> None:
        self.weight = weight

    def apply(self, x: Tensor, power: int = 1) -> Tensor:
        return self.weight * x**power

    @staticmethod
    def shift(x: Tensor, by: float = 1.0) -> Tensor:
        return x + by

    @classmethod
    def name(cls, x: Tensor) -> Tensor:
        return x * len(cls.__name__)

    @cached_property
    def double(self) -> float:
        return 2 * self.weight


class DoubleHead(Head):
    def apply(self, x: Tensor, power: int = 1) -> Tensor:
        return 2 * super().apply(x, power)


class Calls(nn.Module):
    """Calls functions and methods of every kind on vectors (N, 4)."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(4, 4)
        self.one, self.two = Head(2.0), DoubleHead(3.0)

    def forward(self, x: Tensor) -> Tensor:
        h = self.body(x)
        y = scale(h) + scale(h, 3.0, 1, 2, bias=1.0)
        y = self.two.apply(self.one.apply(y), power=2) * math.sqrt(4.0)
        return F.relu(self.one.shift(self.two.name(y)), inplace=True)


class Overwrites(nn.Module):
    """What is called returns what is then overwritten, and overwrites what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        y = scale(self.body(x)).relu_()
        return y + overwrite(y * 2)


class Everything(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        everything(x)
        return x


class Fails(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return fails(scale(x))


def vectors(count: int = 3) -> Tensor:
    return torch.randn(count, 4, generator=torch.Generator().manual_seed(count))


def held() -> dict[str, object]:
    """What this module and its classes hold."""
    mine = {name: globals()[name] for name in ("scale", "overwrite", "everything", "fails")}
    return mine | {f"{cls.__name__}.{name}": value for cls in (Head, DoubleHead) for name, value in vars(cls).items()}
