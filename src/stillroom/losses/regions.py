"""The valuable localization region: Zheng et al., Localization Distillation, CVPR 2022, algorithm 1."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from stillroom.errors import StillroomError
from stillroom.losses.arguments import check_at_least
from stillroom.losses.boxes import check_boxes
from stillroom.losses.tensors import common_precision, divided


@torch.no_grad()
def valuable_region(
    anchors: Tensor, boxes: Tensor, *, counts: Sequence[int], candidates: int = 9, low: float = 0.25
) -> Tensor:
    """How much of a box an anchor near it holds, for what surrounds the positives: weights of locations in one image.

    A box has the threshold t, the mean and the (unbiased) standard deviation of its IoU with the ``candidates`` anchors
    of each level whose centres are nearest, as ATSS assigns them. An anchor is in the region if its DIoU with a box,
    the IoU less the squared distance of the centres over the squared diagonal of the hull, is in ``[low · t, t)``. Its
    weight is its IoU with that box, the largest of several. Algorithm 1 of the paper with ``low`` for its gamma.

    Args:
        anchors: (A, 4), corners x1, y1, x2, y2 in pixels, level after level.
        boxes: (n, 4), the image's; n may be 0: the region is empty then.
        counts: the number of anchors of each level.
        candidates: anchors of a level that the threshold is made of; all where there are fewer.
        low: where the region begins, as a part of the threshold; 0 to 1.

    Returns:
        (A,), at least float32, without gradient.

    Raises:
        StillroomError: for anchors or boxes that are none, for counts that do not add up to A, and for candidates or
            a ``low`` out of range.

    Example:
        >>> anchors = torch.tensor([[0.0, 0.0, 2.0, 2.0], [1.0, 0.0, 3.0, 2.0], [2.0, 0.0, 4.0, 2.0]])
        >>> valuable_region(anchors, anchors[:1], counts=[3])
        tensor([0.0000, 0.3333, 0.0000])
    """
    check_boxes(anchors, "anchors")
    check_boxes(boxes, "boxes")
    check_at_least("candidates", candidates, 1, "a threshold is made of candidates")
    if not 0 <= low < 1:
        raise StillroomError("low is no part of the threshold", expected="0 <= low < 1", got=low)
    if sum(counts) != len(anchors):
        raise StillroomError("counts do not add up", expected=f"{len(anchors)} anchors", got=sum(counts))
    anchors, boxes = common_precision(anchors, boxes)
    if len(boxes) == 0:
        return anchors.new_zeros(len(anchors))
    overlaps, distances, diagonals = _compared(anchors, boxes)
    threshold = _threshold(overlaps, distances, counts, candidates)
    nearness = overlaps - divided(distances, diagonals)
    return (overlaps * ((nearness >= low * threshold) & (nearness < threshold))).amax(1)


def _compared(anchors: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """IoU, squared distance of the centres, and squared diagonal of the hull, of all pairs, (A, n)."""
    anchors, boxes = anchors.unsqueeze(1), boxes.unsqueeze(0)
    low, high = torch.minimum(anchors, boxes), torch.maximum(anchors, boxes)
    overlap = (low[..., 2:] - high[..., :2]).clamp_min(0).prod(-1)
    union = _area(anchors) + _area(boxes) - overlap
    centres = (anchors[..., :2] + anchors[..., 2:] - boxes[..., :2] - boxes[..., 2:]) / 2
    diagonal = high[..., 2:] - low[..., :2]
    return divided(overlap, union), centres.square().sum(-1), diagonal.square().sum(-1)


def _area(boxes: Tensor) -> Tensor:
    return (boxes[..., 2:] - boxes[..., :2]).prod(-1)


def _threshold(overlaps: Tensor, distances: Tensor, counts: Sequence[int], candidates: int) -> Tensor:
    """Mean and deviation of the IoU of each box's candidates, (n,)."""
    levels = zip(distances.split(list(counts)), overlaps.split(list(counts)), strict=True)
    picked = [
        of_level.gather(0, away.topk(min(candidates, len(away)), dim=0, largest=False).indices)
        for away, of_level in levels
    ]
    of_box = torch.cat(picked)
    deviation, mean = torch.std_mean(of_box, dim=0, correction=min(1, len(of_box) - 1))
    return mean + deviation
