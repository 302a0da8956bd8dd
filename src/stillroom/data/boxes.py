"""Image files with boxes, as annotations tell of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from stillroom.errors import StillroomError

SLACK = 1.0
"""Pixels by which a box may reach beyond its image without being counted: some count pixels from 0, others from 1."""

UNREADABLE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)
"""What Pillow raises for files that are no images, or broken ones."""

Corners = tuple[float, float, float, float]
"""x1, y1, x2, y2 in pixels, from 0; the last pixel ends at x2."""


class Box(NamedTuple):
    """One object, as it is written.

    Attributes:
        corners: of the box.
        label: its class, from 0.
        difficult: to find, says whoever marked it.
        crowd: many objects, of which this is the region.
        area: of the object in pixels of the file, if it is told; None: that of the box within the image.
    """

    corners: Corners
    label: int
    difficult: bool = False
    crowd: bool = False
    area: float | None = None


@dataclass(frozen=True)
class Annotated:
    """An image file with its boxes.

    Arrays and not tensors, of which each would be a file of its own on its way to a worker that is spawned.

    Attributes:
        path: of the image.
        size: its height and width.
        image_id: its number.
        boxes: (K, 4), corners x1, y1, x2, y2 in pixels of the file, within it; K may be 0.
        labels: (K,), classes from 0.
        difficult, crowd: (K,).
        area: (K,), of the objects in pixels of the file.
        written: how many boxes the annotation has.
        empty: how many of them have no area, and are left out.
        outside: how many of them reach beyond the image; of these is left what is within it, if anything is.
    """

    path: Path
    size: tuple[int, int]
    image_id: int
    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]
    difficult: NDArray[np.bool_]
    crowd: NDArray[np.bool_]
    area: NDArray[np.float32]
    written: int
    empty: int
    outside: int


def annotated(path: Path, size: tuple[int, int], boxes: Sequence[Box], *, image_id: int) -> Annotated:
    """An image file with those of its boxes that have an area, clipped to the image.

    Args:
        path: of the image.
        size: its height and width.
        boxes: as they are written.
        image_id: the image's number.
    """
    height, width = size
    written = np.array([box.corners for box in boxes], dtype=np.float32).reshape(-1, 4)
    within = written.clip(0, np.array([width, height, width, height], dtype=np.float32))
    empty = (written[:, 2:] <= written[:, :2]).any(1)
    outside = (np.abs(written - within) > SLACK).any(1) & ~empty
    sides = within[:, 2:] - within[:, :2]
    area = [own if box.area is None else box.area for box, own in zip(boxes, sides.prod(1), strict=True)]
    whole = (within[:, 2:] > within[:, :2]).all(1) & ~empty
    return Annotated(
        path,
        size,
        image_id,
        within[whole],
        np.array([box.label for box in boxes], dtype=np.int64)[whole],
        np.array([box.difficult for box in boxes], dtype=np.bool_)[whole],
        np.array([box.crowd for box in boxes], dtype=np.bool_)[whole],
        np.array(area, dtype=np.float32)[whole],
        written=len(boxes),
        empty=int(empty.sum()),
        outside=int(outside.sum()),
    )


def corners_of(numbers: Sequence[Any]) -> Corners:
    """Four finite numbers.

    Raises:
        ValueError: they are something else.
    """
    left, top, right, bottom = map(float, numbers)
    if not all(map(isfinite, (left, top, right, bottom))):
        raise ValueError
    return left, top, right, bottom


def opened(path: Path) -> Image.Image:
    """An image file in colour.

    Raises:
        OSError: or another one of ``UNREADABLE``; it cannot be read.
    """
    with Image.open(path) as image:
        return image.convert("RGB")


def image_size(path: Path) -> tuple[int, int]:
    """Height and width, from the file's head alone.

    Raises:
        StillroomError: there is no such file, or it is no image.
    """
    if not path.is_file():
        raise StillroomError("there is no such image", where=str(path))
    try:
        with Image.open(path) as image:
            return image.height, image.width
    except UNREADABLE as error:
        raise unreadable(path, error) from error


def unreadable(path: Path, error: Exception) -> StillroomError:
    """What is said of an image file that cannot be opened."""
    return StillroomError("the file is not an image that can be read", where=str(path), got=error)
