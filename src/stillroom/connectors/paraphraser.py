"""Factor Transfer: the teacher's factor."""

from __future__ import annotations

from itertools import pairwise
from typing import final

from torch import Tensor, nn

from stillroom.connectors.checks import expect_map
from stillroom.connectors.translator import encoder


@final
class Paraphraser(nn.Module):
    """An autoencoder of the teacher's last map; what it has in the middle is the factor.

    It is trained first, alone: the mean squared error between ``reconstruct(x)`` and ``x``. Then it stands at the
    teacher's side of a FactorTransfer term, where it learns nothing more, for a loss lets no gradient into that side.

    Args:
        in_channels: channels of the teacher's last map, at least 1.
        factor_channels: channels of the factor; the paper has half of ``in_channels``.

    Shape:
        (N, in_channels, H, W) to (N, factor_channels, H, W); ``reconstruct`` to (N, in_channels, H, W).

    Raises:
        StillroomError: for channels below 1, and for a feature of another shape.

    Reference:
        Kim, Park, Kwak, Paraphrasing Complex Network: Network Compression via Factor Transfer, NeurIPS 2018,
        section 3.1.
    """

    def __init__(self, in_channels: int, factor_channels: int) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.encoder = encoder(in_channels, factor_channels, norm=False)
        widths = [factor_channels, factor_channels, in_channels, in_channels]
        layers: list[nn.Module] = []
        for have, want in pairwise(widths):
            layers += [nn.ConvTranspose2d(have, want, 3, padding=1), nn.LeakyReLU(0.1)]
        self.decoder = nn.Sequential(*layers)

    def forward(self, feature: Tensor) -> Tensor:
        expect_map(self, feature, self.in_channels)
        return self.encoder(feature)

    def reconstruct(self, feature: Tensor) -> Tensor:
        """The map as it comes back from its factor, for training the paraphraser alone."""
        return self.decoder(self(feature))
