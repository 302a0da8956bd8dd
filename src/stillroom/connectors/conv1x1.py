"""Channels of a feature map, adapted pixel by pixel."""

from __future__ import annotations

from torch import Tensor, nn


class Conv1x1(nn.Module):
    """A 1x1 convolution with bias, without norm or activation: the plain regressor of FitNets for maps of equal size.

    Args:
        in_channels: channels of the feature, at least 1.
        out_channels: channels wanted, at least 1.

    Shape:
        (N, in_channels, H, W) to (N, out_channels, H, W).

    Reference:
        Romero et al., FitNets: Hints for Thin Deep Nets, ICLR 2015 (there with a kernel that also adapts the size).
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size=1)

    def forward(self, feature: Tensor) -> Tensor:
        return self.conv(feature)
