"""The loss of YOLOv3: a sum over cells and heads, and a mean over the images."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, one_hot

from stillroom.models.yolo_assign import Boxes, best_anchor, cells_of, last_in, numbers
from stillroom.models.yolo_decode import corners
from stillroom.models.yolo_network import Prediction, Scale


def yolo_loss(
    predictions: Sequence[Prediction],
    boxes: Boxes,
    scales: Sequence[Scale],
    *,
    image_size: tuple[int, int],
    ignore_threshold: float,
    smoothing: float,
) -> dict[str, Tensor]:
    """The four parts of the loss, each a scalar: ``centre``, ``size``, ``objectness``, ``classes``.

    A box belongs to the anchor of all heads whose shape has the largest IoU with its own, in the cell with its centre;
    of several boxes that fall together the last one counts. With q its mixup weight (1 without mixup), BCE(z, t) the
    cross entropy of σ(z) with t, and all lengths in parts of the image::

        centre     = q (2 − w h) [BCE(x, place in the cell) + BCE(y, ...)]     for each box
        size       = q (2 − w h) [|w − log(width / anchor's)| + |h − ...|]     for each box
        classes    = q Σ BCE(class, 1 − smoothing for its own, smoothing for the others)   for each box
        objectness = q BCE(objectness, 1) where a box belongs; elsewhere BCE(objectness, 0), but nothing where the
                     predicted box has an IoU above ``ignore_threshold`` with any box

    Args:
        predictions: of the heads.
        boxes: of the images.
        scales: of the heads.
        image_size: height and width of the input.
        ignore_threshold: of the IoU.
        smoothing: of the classes' targets.
    """
    anchors = torch.cat([scale.anchors for scale in reversed(scales)])
    best = best_anchor(boxes.size, anchors)
    height, width = image_size
    weight = boxes.scores * (2 - boxes.size.prod(-1) / (height * width))
    parts = [
        _of_head(prediction, scale, boxes, best, weight, ignore_threshold, smoothing)
        for prediction, scale in zip(predictions, scales, strict=True)
    ]
    centre, size, objectness, classes = torch.stack(parts).sum(0).div(len(best)).unbind()
    return {"centre": centre, "size": size, "objectness": objectness, "classes": classes}


def _of_head(
    prediction: Prediction,
    scale: Scale,
    boxes: Boxes,
    best: Tensor,
    weight: Tensor,
    ignore_threshold: float,
    smoothing: float,
) -> Tensor:
    """The four parts, summed over the cells and the images, (4,)."""
    _, anchors, height, width = prediction.x.shape
    shape, anchor = (anchors, height, width), best - scale.first
    here = boxes.valid & (anchor >= 0) & (anchor < anchors)
    cells = cells_of(boxes, anchor, shape=shape, stride=scale.stride)
    last = last_in(cells, here, shape=shape)
    owns = here & (cells.of(last) == numbers(here))
    score, weight = boxes.scores * owns, weight * owns
    free = (last == 0) & ~_overlapping(prediction, scale, boxes, ignore_threshold)

    bce = partial(binary_cross_entropy_with_logits, reduction="none")
    x, y = (boxes.centre / scale.stride - torch.stack([cells.column, cells.row], -1)).unbind(-1)
    w, h = (boxes.size / scale.anchors[cells.anchor]).log().unbind(-1)
    centre = bce(cells.of(prediction.x), x) + bce(cells.of(prediction.y), y)
    size = (cells.of(prediction.w) - w).abs() + (cells.of(prediction.h) - h).abs()
    own, rest = cells.of(prediction.objectness), prediction.objectness
    objectness = (score * bce(own, torch.ones_like(own))).sum() + (free * bce(rest, torch.zeros_like(rest))).sum()
    classes = cells.of_classes(prediction.classes)
    truth = one_hot(boxes.labels, classes.shape[-1]).to(classes.dtype) * (1 - 2 * smoothing) + smoothing
    of_classes = bce(classes, truth).sum(-1)
    return torch.stack([(weight * centre).sum(), (weight * size).sum(), objectness, (score * of_classes).sum()])


@torch.no_grad()
def _overlapping(prediction: Prediction, scale: Scale, boxes: Boxes, threshold: float) -> Tensor:
    """Which of the boxes that are predicted have an IoU above the threshold with any that is there, (N, A, H, W)."""
    found = corners(prediction, scale)
    one, other = found.flatten(1, -2).unsqueeze(2), boxes.corners.unsqueeze(1)
    least, most = torch.maximum(one[..., :2], other[..., :2]), torch.minimum(one[..., 2:], other[..., 2:])
    shared = (most - least).clamp_min(0).prod(-1)
    union = _area(one) + _area(other) - shared
    # not divided: a predicted box may be infinite, or have no area
    return ((shared > threshold * union) & boxes.valid.unsqueeze(1)).any(-1).view(found.shape[:-1])


def _area(corners: Tensor) -> Tensor:
    return (corners[..., 2:] - corners[..., :2]).prod(-1)
