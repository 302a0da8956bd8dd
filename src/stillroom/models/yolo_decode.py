"""From what YOLOv3's heads say to boxes: decoding, and the choice among overlapping ones."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torchvision.ops import batched_nms

from stillroom.models.yolo_network import Prediction, Scale

Detections = list[dict[str, Tensor]]


def corners(prediction: Prediction, scale: Scale) -> Tensor:
    """The box that each anchor of each cell says it sees, (N, A, H, W, 4): x1, y1, x2, y2 in pixels, not clipped.

    The centre is (column + σ(x), row + σ(y)) · stride, the size (e^w · anchor's width, e^h · anchor's height).
    """
    height, width = prediction.x.shape[-2:]
    columns, rows = (torch.arange(length, device=prediction.x.device) for length in (width, height))
    place = torch.stack([columns + prediction.x.sigmoid(), rows.unsqueeze(1) + prediction.y.sigmoid()], -1)
    half = torch.stack([prediction.w, prediction.h], -1).exp() * scale.anchors.view(-1, 1, 1, 2) / 2
    return torch.cat([place * scale.stride - half, place * scale.stride + half], -1)


def detections(
    predictions: Sequence[Prediction],
    scales: Sequence[Scale],
    *,
    image_size: tuple[int, int],
    conf_threshold: float,
    nms_iou: float,
    nms_top: int,
    keep: int,
) -> Detections:
    """The objects of each image, the surest first: ``boxes`` (D, 4), ``scores`` (D,) and ``labels`` (D,).

    Args:
        predictions: of the heads.
        scales: of the heads.
        image_size: height and width of the input; boxes end at its last pixels, ``width - 1`` and ``height - 1``.
        conf_threshold: scores, σ(objectness) · σ(class), must exceed it, and so objectness does.
        nms_iou: of two boxes of one class with a larger IoU the less sure one is dropped.
        nms_top: most boxes of a class that are compared.
        keep: most boxes of an image.
    """
    boxes, scores = candidates(predictions, scales, image_size=image_size)
    top, rows = surest(boxes, scores, nms_top)
    found: Detections = []
    for index in range(len(boxes)):
        label, rank = (top[index] > conf_threshold).nonzero(as_tuple=True)
        score, box = top[index, label, rank], rows[index, label, rank]
        best = batched_nms(box, score, label, nms_iou)[:keep]
        found.append({"boxes": box[best], "scores": score[best], "labels": label[best]})
    return found


def candidates(
    predictions: Sequence[Prediction], scales: Sequence[Scale], *, image_size: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """The boxes of all anchors of all cells, (N, M, 4), clipped to the image, and how likely each is one of each class,
    (N, C, M)."""
    levels = [_flat(*each) for each in zip(predictions, scales, strict=True)]
    boxes, objectness, classes = (torch.cat(each, 1) for each in zip(*levels, strict=True))
    height, width = image_size
    boxes = boxes.minimum(boxes.new_tensor([width - 1, height - 1] * 2)).clamp_min(0)
    return boxes, objectness.unsqueeze(1) * classes.transpose(1, 2)


def surest(boxes: Tensor, scores: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """Of each class the best scores, (N, C, K), and their boxes, (N, C, K, 4); K is ``most``, or M if that is less."""
    top, places = scores.topk(min(most, scores.shape[2]))
    rows = boxes.unsqueeze(1).expand(-1, places.shape[1], -1, -1)
    return top, rows.gather(2, places.unsqueeze(-1).expand(-1, -1, -1, 4))


def _flat(prediction: Prediction, scale: Scale) -> tuple[Tensor, Tensor, Tensor]:
    """The M boxes of a head (N, M, 4), how likely each is one (N, M), and of which class (N, M, C)."""
    classes = prediction.classes.sigmoid().movedim(2, -1)
    boxes = corners(prediction, scale)
    return boxes.flatten(1, 3), prediction.objectness.sigmoid().flatten(1), classes.flatten(1, 3)
