"""The width of a vector, or of each token, adapted."""

from __future__ import annotations

from torch import Tensor, nn


class Linear(nn.Module):
    """An affine map of the last axis.

    Args:
        in_features: width of the feature, at least 1.
        out_features: width wanted, at least 1.

    Shape:
        (N, in_features) to (N, out_features); tokens (N, L, in_features) to (N, L, out_features).
    """

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, out_features)

    def forward(self, feature: Tensor) -> Tensor:
        return self.linear(feature)
