"""Channels of a feature map, adapted pixel by pixel."""

from __future__ import annotations

from typing import final

from torch import Tensor, nn

from stillroom.connectors.checks import at_least, expect_map


@final
class Conv1x1(nn.Module):
    """A 1x1 convolution with bias, without norm or activation: the plain regressor of FitNets for maps of equal size.

    Args:
        in_channels: channels of the feature, at least 1.
        out_channels: channels wanted, at least 1.

    Shape:
        (N, in_channels, H, W) to (N, out_channels, H, W).

    Raises:
        StillroomError: for channels below 1, and for a feature of another shape.

    Reference:
        Romero et al., FitNets: Hints for Thin Deep Nets, ICLR 2015 (there with a kernel that also adapts the size).
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        at_least(1, in_channels=in_channels, out_channels=out_channels)
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size=1)

    def forward(self, feature: Tensor) -> Tensor:
        expect_map(self, feature, self.conv.in_channels)
        return self.conv(feature)
