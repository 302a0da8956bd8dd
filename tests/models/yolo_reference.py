"""YOLOv3's loss, its gradient and its detections, box by box and cell by cell, in float64 and in parts of the image."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

Array = np.ndarray
Box = tuple[float, float, float, float]


class Target(NamedTuple):
    """A box as YOLO sees it: centre and size in parts of the image."""

    cx: float
    cy: float
    w: float
    h: float
    label: int
    score: float


class Loss(NamedTuple):
    """Of a batch: the four parts, and the derivatives of their sum by the raw heads."""

    parts: dict[str, float]
    gradients: list[Array]


def sigmoid(z: float) -> float:
    return 1 / (1 + math.exp(-z)) if z > -700 else 0.0


def cross_entropy(z: float, t: float) -> tuple[float, float]:
    """−t log σ(z) − (1 − t) log(1 − σ(z)), and its derivative."""
    return max(z, 0) - t * z + math.log1p(math.exp(-abs(z))), sigmoid(z) - t


def targets_of(boxes: Array, labels: list[int], scores: list[float], width: int, height: int) -> list[Target]:
    """Clipped to the image; what has no area or no score is left out."""
    found = []
    for (x1, y1, x2, y2), label, score in zip(boxes.tolist(), labels, scores, strict=True):
        left, right = (min(max(x, 0), width) / width for x in (x1, x2))
        top, bottom = (min(max(y, 0), height) / height for y in (y1, y2))
        if right > left and bottom > top and score > 0:
            found.append(Target((left + right) / 2, (top + bottom) / 2, right - left, bottom - top, label, score))
    return found


def of_shape(w: float, h: float, anchor: tuple[float, float]) -> float:
    """IoU of a box and an anchor with one centre, all in pixels."""
    shared = min(w, anchor[0]) * min(h, anchor[1])
    return shared / (w * h + anchor[0] * anchor[1] - shared)


def iou(a: Box, b: Box) -> float:
    across, down = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if across <= 0 or down <= 0:
        return 0.0
    areas = [(each[2] - each[0]) * (each[3] - each[1]) for each in (a, b)]
    return across * down / (sum(areas) - across * down)


def decoded(
    values: Array, anchor: tuple[float, float], row: int, column: int, grid: tuple[int, int], stride: int
) -> Box:
    """In parts of the image, of the vector [x, y, w, h, ...] of a cell."""
    height, width = grid
    cx, cy = (column + sigmoid(values[0])) / width, (row + sigmoid(values[1])) / height
    w, h = math.exp(values[2]) * anchor[0] / (width * stride), math.exp(values[3]) * anchor[1] / (height * stride)
    return cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2


def yolo_loss(
    heads: list[Array], images: list[list[Target]], anchors: list[tuple[float, float]], *, ignore: float, delta: float
) -> Loss:
    """heads: (N, 3 · (5 + C), H, W) at strides 32, 16 and 8; anchors: nine, those of stride 8 first."""
    parts = dict.fromkeys(("centre", "size", "objectness", "classes"), 0.0)
    gradients = [np.zeros_like(head) for head in heads]
    count = len(images)

    for image, targets in enumerate(images):
        owners: dict[tuple[int, int, int, int], Target] = {}
        for target in targets:
            level, anchor, row, column = _place(target, heads, anchors)
            owners[level, anchor, row, column] = target  # the last one wins
        for level, head in enumerate(heads):
            stride, per_anchor = (32, 16, 8)[level], head.shape[1] // 3
            height, width = head.shape[2:]
            for anchor, row, column in np.ndindex(3, height, width):
                channels = slice(anchor * per_anchor, (anchor + 1) * per_anchor)
                values, slope = head[image, channels, row, column], gradients[level][image, channels, row, column]
                shape = anchors[3 * (2 - level) + anchor]
                owner = owners.get((level, anchor, row, column))

                def add(
                    part: str, weight: float, pair: tuple[float, float], channel: int, slope: Array = slope
                ) -> None:
                    parts[part] += weight * pair[0] / count
                    slope[channel] += weight * pair[1] / count

                if owner is None:
                    box = decoded(values, shape, row, column, (height, width), stride)
                    if all(iou(box, _corners(each)) <= ignore for each in targets):
                        add("objectness", 1, cross_entropy(values[4], 0), 4)
                    continue
                weight = owner.score * (2 - owner.w * owner.h)
                add("centre", weight, cross_entropy(values[0], owner.cx * width - column), 0)
                add("centre", weight, cross_entropy(values[1], owner.cy * height - row), 1)
                for channel, part, whole, side in ((2, owner.w, width, shape[0]), (3, owner.h, height, shape[1])):
                    error = values[channel] - math.log(part * whole * stride / side)
                    add("size", weight, (abs(error), np.sign(error)), channel)
                add("objectness", owner.score, cross_entropy(values[4], 1), 4)
                for label in range(per_anchor - 5):
                    truth = 1 - delta if label == owner.label else delta
                    add("classes", owner.score, cross_entropy(values[5 + label], truth), 5 + label)
    return Loss(parts, gradients)


def _corners(target: Target) -> Box:
    half_w, half_h = target.w / 2, target.h / 2
    return target.cx - half_w, target.cy - half_h, target.cx + half_w, target.cy + half_h


def _place(target: Target, heads: list[Array], anchors: list[tuple[float, float]]) -> tuple[int, int, int, int]:
    height, width = (cells * 32 for cells in heads[0].shape[2:])
    likeness = [of_shape(target.w * width, target.h * height, anchor) for anchor in anchors]
    best = likeness.index(max(likeness))
    level, anchor = 2 - best // 3, best % 3
    rows, columns = heads[level].shape[2:]
    return level, anchor, min(int(target.cy * rows), rows - 1), min(int(target.cx * columns), columns - 1)


Found = tuple[float, int, Box]


def detections(
    heads: list[Array],
    image: int,
    anchors: list[tuple[float, float]],
    *,
    confidence: float,
    nms: float,
    top: int,
    keep: int,
) -> list[Found]:
    """(score, label, corners in pixels) of one image, the best first."""
    by_class: dict[int, list[Found]] = {}
    image_h, image_w = (cells * 32 for cells in heads[0].shape[2:])
    for level, head in enumerate(heads):
        per_anchor = head.shape[1] // 3
        for anchor, row, column in np.ndindex(3, *head.shape[2:]):
            values = head[image, anchor * per_anchor : (anchor + 1) * per_anchor, row, column]
            objectness = sigmoid(values[4])
            if objectness < confidence:
                continue
            shape, stride = anchors[3 * (2 - level) + anchor], (32, 16, 8)[level]
            left, upper, right, lower = decoded(values, shape, row, column, head.shape[2:], stride)
            across = [min(max(x * image_w, 0), image_w - 1) for x in (left, right)]
            down = [min(max(y * image_h, 0), image_h - 1) for y in (upper, lower)]
            box = (across[0], down[0], across[1], down[1])
            for label in range(per_anchor - 5):
                score = objectness * sigmoid(values[5 + label])
                if score > confidence:
                    by_class.setdefault(label, []).append((score, label, box))
    kept: list[Found] = []
    for found in by_class.values():
        of_class: list[Found] = []
        for one in sorted(found, reverse=True)[:top]:
            if all(iou(one[2], other[2]) <= nms for other in of_class):
                of_class.append(one)
        kept += of_class
    return sorted(kept, reverse=True)[:keep]
