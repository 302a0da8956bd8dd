"""How a tensor lies on the image that it was computed from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from stillroom.connectors.grid import square_grid

Form = Literal["map", "map, channels last", "tokens", "vector"]
Shape = tuple[int, ...]
DEEPEST = 32
"""Few networks halve their map more often; what is smaller has been pooled, or belongs to a detector's large boxes."""


@dataclass(frozen=True)
class Layout:
    """What the axes of a tensor mean.

    Attributes:
        form: a map (N, C, H, W) or (N, H, W, C), tokens (N, L, D), or a vector (N, D).
        channels: C or D.
        side: of the map, or of the square of tokens; 1 for a vector.
        stride: pixels of the image for one of the map, the nearest power of two; 0 for a vector.
        prefix: tokens before those of the image.
    """

    form: Form
    channels: int
    side: int
    stride: int
    prefix: int = 0

    @property
    def on_image(self) -> bool:
        """Whether it has places on the image: it is no vector."""
        return self.stride > 0


def layout_of(shape: Shape, *, batch: int, size: int) -> Layout | None:
    """The layout of a tensor of this shape.

    Args:
        shape: of the tensor.
        batch: number of images; attention in windows folds these into the first axis, which is no layout then.
        size: side of the images, which are square.

    Returns:
        None where it is none of the forms.
    """
    if len(shape) < 2 or shape[0] != batch:
        return None
    match shape[1:]:
        case (channels,):
            return Layout("vector", channels, 1, 0)
        case (length, channels) if (grid := square_grid(length)) is not None and grid[1] > 1:
            return _placed("tokens", channels, grid[1], size, grid[0])
        case (channels, height, width) if height == width:
            return _placed("map", channels, height, size)
        case (height, width, channels) if height == width:
            return _placed("map, channels last", channels, height, size)
        case _:
            return None


def _placed(form: Form, channels: int, side: int, size: int, prefix: int = 0) -> Layout | None:
    if side < 1 or channels < 1:
        return None
    stride = 2 ** round(math.log2(size / side))
    return Layout(form, channels, side, int(stride), prefix) if 1 <= stride <= DEEPEST else None
