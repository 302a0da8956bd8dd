"""Raw heads of YOLOv3, one map for each size of objects: their check, and what the channels of one mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

from stillroom.errors import StillroomError
from stillroom.losses.arguments import check_at_least
from stillroom.losses.shapes import Shapes, check_levels

HEADS = Shapes("heads (N, A · (5 + num_classes), H, W)", (4,))


class Head(NamedTuple):
    """What a head says about the A anchors of each cell, before any sigmoid.

    Args:
        centre: x and y, (N, A, 2, H, W).
        size: w and h, (N, A, 2, H, W).
        objectness: (N, A, H, W).
        classes: (N, A, num_classes, H, W).
    """

    centre: Tensor
    size: Tensor
    objectness: Tensor
    classes: Tensor


def split(head: Tensor, num_classes: int) -> Head:
    """Views of a head, whose channels are [x, y, w, h, objectness, classes ...] for one anchor after the other."""
    anchors = head.unflatten(1, (-1, 5 + num_classes))
    return Head(anchors[:, :, :2], anchors[:, :, 2:4], anchors[:, :, 4], anchors[:, :, 5:])


def check_num_classes(num_classes: int) -> None:
    """Refuses a number of classes below 1.

    Raises:
        StillroomError: it shows the number.
    """
    check_at_least("num_classes", num_classes, 1, "heads without classes")


def check_heads(student: Sequence[Tensor], teacher: Sequence[Tensor], num_classes: int) -> None:
    """Refuses other numbers of heads, other shapes, and channels that are not A times 5 + num_classes.

    Raises:
        StillroomError: it shows what came on both sides, or the first head that does not fit the classes.
    """
    check_num_classes(num_classes)
    check_levels(student, teacher, HEADS, least=1)
    per_anchor = 5 + num_classes
    for place, head in enumerate(student):
        if head.shape[1] % per_anchor:
            raise StillroomError(
                f"{head.shape[1]} channels are not those of whole anchors",
                where=f"head {place}",
                expected=f"a multiple of 5 + num_classes = {per_anchor}",
                got=tuple(head.shape),
                fix="num_classes must be what the detectors were built with.",
            )
