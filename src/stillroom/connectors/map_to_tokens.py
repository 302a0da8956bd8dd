"""A feature map as the tokens of a vision transformer."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn

from stillroom.connectors.checks import at_least, expect_map


@final
class MapToTokens(nn.Module):
    """The pixels of a map as tokens, row by row; the map's mean stands in for class and register tokens.

    Args:
        prefix: number of leading tokens to put in front, each of them the mean over the map.

    Shape:
        (N, C, H, W) to (N, prefix + H·W, C).

    Raises:
        StillroomError: for a prefix below 0, and for a feature that is no map.
    """

    def __init__(self, *, prefix: int = 0) -> None:
        super().__init__()
        at_least(0, prefix=prefix)
        self.prefix = prefix

    def forward(self, feature: Tensor) -> Tensor:
        expect_map(self, feature)
        tokens = feature.flatten(2).transpose(1, 2)
        if self.prefix == 0:
            return tokens
        return torch.cat((tokens.mean(1, keepdim=True).expand(-1, self.prefix, -1), tokens), dim=1)

    def extra_repr(self) -> str:
        return f"prefix={self.prefix}"
