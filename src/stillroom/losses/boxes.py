"""Boxes of images: their check, and the cells of a map that they cover."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from stillroom.errors import StillroomError
from stillroom.losses.tensors import at_least_float32


def check_boxes(boxes: object, where: str) -> None:
    """Refuses anything but the boxes of one image, of which there may be none.

    Raises:
        StillroomError: it shows what came.
    """
    if isinstance(boxes, Tensor) and boxes.ndim == 2 and boxes.shape[1] == 4:
        return
    got = tuple(boxes.shape) if isinstance(boxes, Tensor) else type(boxes).__name__
    raise StillroomError("these are no boxes", where=where, expected="corners x1, y1, x2, y2, of shape (n, 4)", got=got)


def check_boxes_of(boxes: object, count: int) -> None:
    """Refuses anything but the boxes of ``count`` images.

    Raises:
        StillroomError: it shows what came, and which image's boxes are none.
    """
    if not isinstance(boxes, list | tuple) or len(boxes) != count:
        got = f"{type(boxes).__name__} of {len(boxes)}" if isinstance(boxes, list | tuple) else type(boxes).__name__
        raise StillroomError("boxes must be given for each image", expected=f"a list of {count}", got=got)
    for place, of_image in enumerate(boxes):
        check_boxes(of_image, f"boxes[{place}]")


def check_image_size(size: object) -> None:
    """Refuses anything but one height and one width; the numbers in a tensor are not looked at.

    Raises:
        StillroomError: it shows what came.
    """
    if isinstance(size, Tensor):
        fits, got = size.shape == (2,), tuple(size.shape)
    else:
        fits, got = isinstance(size, list | tuple) and len(size) == 2 and all(_is_length(side) for side in size), size
    if not fits:
        raise StillroomError(
            "image_size is not the size of the padded batch", expected="(height, width) in pixels, one for all", got=got
        )


def _is_length(side: object) -> bool:
    return isinstance(side, int | float) and side > 0


def box_weights(boxes: Sequence[Tensor], image_size: Sequence[float] | Tensor, size: tuple[int, int]) -> Tensor:
    """One over the number of cells that the smallest box around a cell covers, and 0 outside of all boxes.

    A box covers the cells from the floor of its left and upper to the ceiling of its right and lower side, both
    included; those beyond the border of the map count too, so that it does not matter how far an image was padded.

    Args:
        boxes: of each image, (n, 4) corners in pixels.
        image_size: (height, width) of the network's padded input.
        size: (height, width) of the map.

    Returns:
        (N, 1, height, width), at least float32.
    """
    # the ratio first: it is exact for strides that are powers of two, and so is the cell of a border on the grid
    ratios = [cells / pixels for cells, pixels in zip(size, image_size, strict=True)]
    return torch.stack([_of_image(at_least_float32(each.detach()), ratios, size) for each in boxes])


def _of_image(boxes: Tensor, ratios: Sequence[float | Tensor], size: tuple[int, int]) -> Tensor:
    if len(boxes) == 0:
        return boxes.new_zeros(1, *size)
    ratio_y, ratio_x = ratios
    left, top, right, bottom = boxes.unbind(1)
    columns, width = _covered((left * ratio_x).floor(), (right * ratio_x).ceil(), size[1])
    rows, height = _covered((top * ratio_y).floor(), (bottom * ratio_y).ceil(), size[0])
    weights = 1 / (width * height)
    inside = rows.unsqueeze(2) & columns.unsqueeze(1)
    return (inside * weights.view(-1, 1, 1)).amax(0, keepdim=True)


def _covered(first: Tensor, last: Tensor, cells: int) -> tuple[Tensor, Tensor]:
    """Which of the cells lie from first to last, (n, cells), and how many do, inside and outside of the map, (n,)."""
    grid = torch.arange(cells, device=first.device)
    inside = (grid >= first.unsqueeze(1)) & (grid <= last.unsqueeze(1))
    return inside, (last - first + 1).clamp_min(1)
