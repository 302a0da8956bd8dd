"""The relation block of FGD: Cao et al., GCNet, ICCV Workshops 2019, as Yang et al., CVPR 2022, equation 12, use it."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class RelationBlock(nn.Module):
    """``f + W₂ ReLU(LN(W₁ c))``, ``c`` the mean of the pixels' vectors, weighted by ``softmax over H · W of w · f``.

    ``W₂`` starts at zero, the block thus as the identity.

    Args:
        channels: of the map, at least 2; inside there are half as many.

    Shape:
        (N, channels, H, W) to the same.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner, last = channels // 2, nn.Linear(channels // 2, channels)
        self.attention = nn.Linear(channels, 1, bias=False)  # a softmax would not see a bias
        self.transform = nn.Sequential(nn.Linear(channels, inner), nn.LayerNorm(inner), nn.ReLU(), last)
        nn.init.kaiming_normal_(self.attention.weight)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def forward(self, x: Tensor) -> Tensor:
        pixels = x.flatten(2)
        weights = torch.softmax(self.attention(pixels.transpose(1, 2)), dim=1)
        context = (pixels @ weights).squeeze(2)
        return x + self.transform(context)[:, :, None, None]
