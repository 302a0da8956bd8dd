"""What FBKD compares: where a map is large, and how its pixels relate to each other."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stillroom.connectors.checks import at_least
from stillroom.connectors.precision import at_least_float32
from stillroom.errors import StillroomError

_TEMPERATURE = 0.5


class FBKDFeatures(NamedTuple):
    """What both sides of FBKD hand to the loss, in this order.

    Attributes:
        feature: the map, (N, C, H, W); the student's through a 1x1 convolution.
        channels: its mean over the pixels, (N, C); the student's through a linear layer.
        space: its mean over the channels, (N, 1, H, W); the student's through a 3x3 convolution.
        relation: the map after a non-local block, (N, C, H, W); the student's through a 1x1 convolution as well.
        spatial_mask: ``H·W·softmax(mean_c|x| / 0.5)`` over the pixels, (N, 1, H, W); without gradient.
        channel_mask: ``C·softmax(mean_hw|x| / 0.5)`` over the channels, (N, C, 1, 1); without gradient.
    """

    feature: Tensor
    channels: Tensor
    space: Tensor
    relation: Tensor
    spatial_mask: Tensor
    channel_mask: Tensor


def spatial_mask(x: Tensor) -> Tensor:
    """A weight for each pixel, 1 on average. Shape: (N, C, H, W) to (N, 1, H, W)."""
    level = at_least_float32(x.detach()).abs().mean(1, keepdim=True)
    mask = torch.softmax(level.flatten(1) / _TEMPERATURE, dim=1) * (x.shape[2] * x.shape[3])
    return mask.view_as(level).to(x.dtype)


def channel_mask(x: Tensor) -> Tensor:
    """A weight for each channel, 1 on average. Shape: (N, C, H, W) to (N, C, 1, 1)."""
    level = at_least_float32(x.detach()).abs().mean((2, 3), keepdim=True)
    return (torch.softmax(level / _TEMPERATURE, dim=1) * x.shape[1]).to(x.dtype)


class NonLocal(nn.Module):
    """``x + BN(1x1(y))``, ``y_i = mean over j of (θ_i · φ_j) g_j``; θ, φ, g are 1x1 convolutions, φ and g max-pooled.

    The batch norm starts at zero, the block thus as the identity.

    Args:
        channels: channels of the map, at least 1.
        reduction: how many times narrower θ, φ and g are, at most ``channels``.
        pool: side of the pooling window; 1 for none. A map must be at least so large.
    """

    def __init__(self, channels: int, reduction: int, pool: int) -> None:
        super().__init__()
        at_least(1, channels=channels, reduction=reduction, pool=pool)
        if reduction > channels:
            raise StillroomError("reduction leaves no channel", expected=f"1 to {channels}", got=reduction)
        self.pool = pool
        inner = channels // reduction
        self.theta, self.phi, self.g = (nn.Conv2d(channels, inner, 1) for _ in range(3))
        self.out = nn.Conv2d(inner, channels, 1, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        nn.init.zeros_(self.norm.weight)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        if min(height, width) < self.pool:
            raise StillroomError("the map is smaller than pool", expected=f"at least {self.pool}", got=(height, width))
        theta = self.theta(x).flatten(2)
        phi, g = (F.max_pool2d(conv(x), self.pool).flatten(2) for conv in (self.phi, self.g))
        relation = theta.transpose(1, 2) @ phi / phi.shape[2]
        y = (relation @ g.transpose(1, 2)).transpose(1, 2).unflatten(2, (height, width))
        return x + self.norm(self.out(y))
