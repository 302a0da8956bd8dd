"""The width of a vector, or of each token, adapted."""

from __future__ import annotations

from typing import final

from torch import Tensor, nn

from stillroom.connectors.checks import at_least, expect_width


@final
class Linear(nn.Module):
    """An affine map of the last axis.

    Args:
        in_features: width of the feature, at least 1.
        out_features: width wanted, at least 1.

    Shape:
        (N, in_features) to (N, out_features); tokens (N, L, in_features) to (N, L, out_features).

    Raises:
        StillroomError: for a width below 1, and for a feature of another width.
    """

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        at_least(1, in_features=in_features, out_features=out_features)
        self.linear = nn.Linear(in_features, out_features)

    def forward(self, feature: Tensor) -> Tensor:
        expect_width(self, feature, self.linear.in_features)
        return self.linear(feature)
