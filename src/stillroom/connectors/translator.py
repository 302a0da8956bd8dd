"""Factor Transfer: the student's factor."""

from __future__ import annotations

from itertools import pairwise
from typing import final

from torch import Tensor, nn

from stillroom.connectors.checks import at_least, expect_map


def encoder(in_channels: int, factor_channels: int, *, norm: bool) -> nn.Sequential:
    """Three 3x3 convolutions, in to in to factor to factor, each followed by LeakyReLU(0.1).

    Raises:
        StillroomError: for channels below 1.
    """
    at_least(1, in_channels=in_channels, factor_channels=factor_channels)
    widths = [in_channels, in_channels, factor_channels, factor_channels]
    layers: list[nn.Module] = []
    for have, want in pairwise(widths):
        layers.append(nn.Conv2d(have, want, 3, padding=1, bias=not norm))
        layers.extend([nn.BatchNorm2d(want)] if norm else [])
        layers.append(nn.LeakyReLU(0.1))
    return nn.Sequential(*layers)


@final
class Translator(nn.Module):
    """Three 3x3 convolutions with batch norm and LeakyReLU(0.1): the student's map to its factor.

    Args:
        in_channels: channels of the student's last map, at least 1.
        factor_channels: channels of the factor: those of the teacher's :class:`Paraphraser`.

    Shape:
        (N, in_channels, H, W) to (N, factor_channels, H, W).

    Raises:
        StillroomError: for channels below 1, and for a feature of another shape.

    Reference:
        Kim, Park, Kwak, Paraphrasing Complex Network: Network Compression via Factor Transfer, NeurIPS 2018,
        section 3.2.
    """

    def __init__(self, in_channels: int, factor_channels: int) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.encoder = encoder(in_channels, factor_channels, norm=True)

    def forward(self, feature: Tensor) -> Tensor:
        expect_map(self, feature, self.in_channels)
        return self.encoder(feature)
