"""A network that draws random numbers in every way."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def draw(x: Tensor) -> Tensor:
    return torch.rand(x.shape)


class Noise(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.rand(x.shape)


class Draws(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.noise = Noise()

    def mask(self, x: Tensor) -> Tensor:
        return torch.rand(x.shape)

    def forward(self, x: Tensor) -> Tensor:
        return draw(x) + self.mask(x) + self.noise(x)
