"""BYOT: a classifier of its own at an early stage."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn

from stillroom.connectors.checks import at_least, expect_map
from stillroom.connectors.resize import resized
from stillroom.errors import StillroomError


@final
class SelfBranch(nn.Module):
    """Attention, convolutions down to the width of the last stage, average pool, classifier.

    The attention is a map between 0 and 1 that is multiplied on the input: a separable convolution with stride 2, batch
    norm, ReLU, bilinear to the input's size, sigmoid. Then one separable convolution with stride 2 for each doubling of
    the channels. What is called so is, as in the authors' code, twice depthwise 3x3, pointwise, batch norm, ReLU.

    Args:
        in_channels: channels of the stage, at least 1.
        out_channels: channels of the last stage: ``in_channels`` times a power of two.
        num_classes: classes, at least 1.

    Shape:
        (N, in_channels, H, W) to a tuple: the feature (N, out_channels), and the logits (N, num_classes).

    Raises:
        StillroomError: for numbers out of range, and for a feature of another shape.

    Reference:
        Zhang et al., Be Your Own Teacher, ICCV 2019, figure 2.
    """

    def __init__(self, in_channels: int, out_channels: int, num_classes: int) -> None:
        super().__init__()
        at_least(1, in_channels=in_channels, out_channels=out_channels, num_classes=num_classes)
        doublings = (out_channels // in_channels).bit_length() - 1
        if out_channels != in_channels << max(doublings, 0):
            raise StillroomError(
                "out_channels must be in_channels times a power of two",
                expected=f"{in_channels}, {2 * in_channels}, {4 * in_channels}, ...",
                got=out_channels,
            )
        self.in_channels = in_channels
        self.attention = nn.Sequential(_separable(in_channels, in_channels), nn.BatchNorm2d(in_channels), nn.ReLU())
        widths = [in_channels << step for step in range(doublings + 1)]
        self.body = nn.Sequential(*map(_separable, widths, widths[1:]))
        self.classifier = nn.Linear(out_channels, num_classes)

    def forward(self, feature: Tensor) -> tuple[Tensor, Tensor]:
        expect_map(self, feature, self.in_channels)
        height, width = feature.shape[2:]
        attention = torch.sigmoid(resized(self.attention(feature), (height, width), "bilinear"))
        pooled = self.body(feature * attention).mean((2, 3))
        return pooled, self.classifier(pooled)


def _separable(in_channels: int, out_channels: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for width, stride in ((in_channels, 2), (out_channels, 1)):
        layers += [
            nn.Conv2d(in_channels, in_channels, 3, stride, padding=1, groups=in_channels, bias=False),
            nn.Conv2d(in_channels, width, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
        ]
    return nn.Sequential(*layers)
