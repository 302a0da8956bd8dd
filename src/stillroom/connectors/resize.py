"""Height and width of a map, interpolated."""

from __future__ import annotations

import math
from typing import Literal, final

from torch import Tensor, nn
from torch.nn import functional as F

from stillroom.connectors.checks import expect_map, one_of, pair
from stillroom.errors import StillroomError

Mode = Literal["bilinear", "nearest"]


def resized(x: Tensor, size: tuple[int, int], mode: Mode) -> Tensor:
    """A map at another size; at its own, the map itself."""
    if x.shape[2:] == size:
        return x
    return F.interpolate(x, size=size, mode=mode, align_corners=False if mode == "bilinear" else None)


@final
class Resize(nn.Module):
    """Interpolates a map to a size, or by a factor.

    To make maps much smaller use :class:`Pool`: interpolation then looks at a few pixels only.

    Args:
        size: height and width wanted, or one number for both.
        scale: a factor for both axes instead; fits maps that change their size from batch to batch.
        mode: ``"bilinear"`` (corners not aligned) or ``"nearest"``.

    Shape:
        (N, C, H, W) to (N, C, *size), or to (N, C, ⌊H·scale⌋, ⌊W·scale⌋), at least 1.

    Raises:
        StillroomError: unless one of size and scale is given, for either out of range, for an unknown mode, and for a
            feature that is no map.
    """

    def __init__(
        self, size: int | tuple[int, int] | None = None, *, scale: float | None = None, mode: Mode = "bilinear"
    ) -> None:
        super().__init__()
        if (size is None) == (scale is None):
            raise StillroomError("Resize needs either a size or a scale", got=f"size={size}, scale={scale}")
        if scale is not None and not 0 < scale < math.inf:
            raise StillroomError("scale must be a finite number above 0", got=scale)
        one_of("mode", mode, ["bilinear", "nearest"])
        self.size = None if size is None else pair("size", size)
        self.scale = scale
        self.mode: Mode = mode

    def forward(self, feature: Tensor) -> Tensor:
        expect_map(self, feature)
        size = self.size
        if self.scale is not None:
            height, width = (max(1, int(side * self.scale)) for side in feature.shape[2:])
            size = height, width
        assert size is not None  # the constructor saw to it
        return resized(feature, size, self.mode)

    def extra_repr(self) -> str:
        wanted = f"scale={self.scale:g}" if self.size is None else f"size={self.size}"
        return f"{wanted}, mode={self.mode!r}"
