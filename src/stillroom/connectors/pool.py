"""Averages over the pixels of a map, or over tokens."""

from __future__ import annotations

from typing import final

from torch import Tensor, nn
from torch.nn import functional as F

from stillroom.connectors.checks import expect_map, pair, unreadable


@final
class Pool(nn.Module):
    """Averages a map over equal parts, or a map or tokens over everything.

    Args:
        size: height and width wanted of a map, or one number for both (adaptive average pooling); None for one vector
            per sample.

    Shape:
        (N, C, H, W) to (N, C, *size); without a size (N, C, H, W) to (N, C), and tokens (N, L, D) to (N, D).

    Raises:
        StillroomError: for a size below 1, and for a feature of another rank.
    """

    def __init__(self, size: int | tuple[int, int] | None = None) -> None:
        super().__init__()
        self.size = None if size is None else pair("size", size)

    def forward(self, feature: Tensor) -> Tensor:
        if self.size is not None:
            expect_map(self, feature)
            return F.adaptive_avg_pool2d(feature, self.size)
        if feature.ndim == 4:
            return feature.mean((2, 3))
        if feature.ndim == 3:
            return feature.mean(1)
        raise unreadable(self, feature, "a map (N, C, H, W) or tokens (N, L, D)")

    def extra_repr(self) -> str:
        return f"size={self.size}"
