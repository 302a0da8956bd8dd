"""Networks whose student is to take something over from the teacher."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

made: Counter[str] = Counter()
"""How often each of these was really called."""


def scale(x: Tensor) -> Tensor:
    return 2 * x


def draw(x: Tensor) -> Tensor:
    made["draw"] += 1
    return torch.rand(x.shape, dtype=x.dtype)


def draw_with_gradient(x: Tensor) -> Tensor:
    with torch.enable_grad():
        return 2 * torch.rand(x.shape, requires_grad=True)


class Both(NamedTuple):
    mask: Tensor
    noise: Tensor


class Plain:
    """An object with attributes."""

    def __init__(self, mask: Tensor, noise: Tensor) -> None:
        self.mask, self.noise = mask, noise


FORMS: dict[str, tuple[Callable[[Tensor, Tensor], object], tuple[int | str, ...]]] = {
    "tuple": (lambda mask, noise: (mask, noise), (0,)),
    "dict": (lambda mask, noise: {"mask": mask, "noise": noise}, ("mask",)),
    "named tuple": (Both, ("mask",)),
    "object": (Plain, ("mask",)),
}


def draw_both(x: Tensor, form: str) -> object:
    made["draw_both"] += 1
    return FORMS[form][0](torch.rand(x.shape).round(), torch.rand(x.shape))


class Mask(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        made["module"] += 1
        return torch.rand(x.shape, dtype=x.dtype)


class Cannot(nn.Module):
    """What only the teacher can do."""

    def forward(self, x: Tensor) -> Tensor:
        raise NotImplementedError


class Drops(nn.Module):
    """Vectors (N, 6) to logits (N, 5): masks of its features are drawn ``times`` times in one way."""

    def __init__(self, width: int = 4, *, way: str = "function", times: int = 1, overwrites: bool = False) -> None:
        super().__init__()
        self.body, self.head, self.mask = nn.Linear(6, width), nn.Linear(width, 5), Mask()
        self.way, self.times, self.overwrites = way, times, overwrites
        self.masks: list[Tensor] = []

    def draw_mask(self, x: Tensor) -> Tensor:
        made["method"] += 1
        return torch.rand(x.shape, dtype=x.dtype)

    def drawn(self, x: Tensor) -> Tensor:
        if self.way == "function":
            return draw(x)
        if self.way == "gradient":
            return draw_with_gradient(x)
        if self.way == "torch":
            return torch.rand(x.shape, dtype=x.dtype)
        return self.draw_mask(x) if self.way == "method" else self.mask(x)

    def forward(self, x: Tensor) -> Tensor:
        self.masks = [self.drawn(x) for _ in range(self.times)]
        for mask in self.masks:
            x = x * (mask.mul_(0.5) if self.overwrites else mask)
        return self.head(F.relu(self.body(x)))


class Held:
    """An object with a tensor in it."""

    def __init__(self, mask: Tensor) -> None:
        self.mask, self.used = mask, 0


def draw_held(x: Tensor) -> Held:
    return Held(torch.rand(x.shape, requires_grad=True) * 1)


class Uses(nn.Module):
    """Changes the object, and the tensor in it."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(6, 5)
        self.held: Held | None = None

    def forward(self, x: Tensor) -> Tensor:
        self.held = draw_held(x)
        self.held.used += 1
        return self.head(x * self.held.mask.add_(1))


class Checkpointed(Drops):
    """Draws its masks in a part that the backward pass runs again."""

    def __init__(self, *, reentrant: bool) -> None:
        super().__init__()
        self.reentrant = reentrant

    def forward(self, x: Tensor) -> Tensor:
        return checkpoint(super().forward, x, use_reentrant=self.reentrant)


class Straight(nn.Module):
    """Becomes one graph when it is compiled."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(6, 5)

    def draw_mask(self, x: Tensor) -> Tensor:
        return torch.rand(x.shape)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x * self.draw_mask(x))


class Takes(nn.Module):
    """Uses both parts of what is drawn."""

    def __init__(self, form: str) -> None:
        super().__init__()
        self.body, self.form = nn.Linear(6, 5), form
        self.parts: object = None

    def forward(self, x: Tensor) -> Tensor:
        self.parts = draw_both(x, self.form)
        return self.body(x)
