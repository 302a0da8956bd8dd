"""Random heads of YOLOv3, and boxes of every awkward kind."""

from __future__ import annotations

import torch
from torch import Tensor

from stillroom.models.yolo_network import Prediction
from stillroom.models.yolov3 import ANCHORS

CLASSES = 3
Targets = list[dict[str, Tensor]]


def raw_heads(*, size: tuple[int, int], count: int, seed: int, spread: float = 1.0) -> list[Tensor]:
    """Float64, coarsest first."""
    generator = torch.Generator().manual_seed(seed)
    shapes = [(count, 3 * (5 + CLASSES), size[0] // stride, size[1] // stride) for stride in (32, 16, 8)]
    return [spread * torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]


def predictions(heads: list[Tensor]) -> list[Prediction]:
    """By the layout that the losses of heads read, without the model's own modules."""
    found = []
    for head in heads:
        n, _, h, w = head.shape
        anchors = head.reshape(n, 3, 5 + CLASSES, h, w)
        found.append(Prediction(*(anchors[:, :, place] for place in range(5)), anchors[:, :, 5:]))
    return found


def awkward(size: tuple[int, int]) -> Targets:
    """Three images: in one cell, tiny, of no area, at and beyond the borders, mixed, and none at all."""
    h, w = size
    several = [
        [40.0, 40, 60, 66],
        [41, 41, 61, 67],  # the same cell and anchor: it counts instead
        [40, 40, 60, 66],  # and this one instead of that
        [44, 43, 56, 57],  # another anchor of the same head
        [20.5, 20.25, 21, 21],  # tiny
        [7, 7, 7, 30],  # no area
        [0, 0, 0, 0],  # as padding
        [30, 50, 20, 60],  # corners swapped
    ]
    borders = [
        [0.0, 0, w, h],
        [0, 0, 12, 14],
        [w - 0.001, h - 0.001, w, h],  # its centre rounds into the last cell
        [w - 20, h - 30, w + 15, h + 9],  # what is outside does not count
        [-30, -30, -2, -2],
        [w, 4, w, 20],
        [3, h - 4, 17, h],
    ]
    labels = [[0, 1, 2, 1, 0, 2, 0, 1], [2, 0, 1, 2, 0, 1, 1], []]
    scores = [torch.tensor([1.0, 0.7, 0.3, 0.7, 0.3, 0.7, 1.0, 0.3]), torch.tensor([0.6, 0.4, 0.4, 0.6, 0, 1, 0]), None]
    targets = []
    for boxes, own, mixed in zip((several, borders, []), labels, scores, strict=True):
        target = {"boxes": torch.tensor(boxes).reshape(-1, 4), "labels": torch.tensor(own, dtype=torch.int64)}
        targets.append(target if mixed is None else target | {"scores": mixed})
    return targets


def random_targets(size: tuple[int, int], *, seed: int, counts: tuple[int, ...] = (5, 0, 12)) -> Targets:
    generator = torch.Generator().manual_seed(seed)
    whole = torch.tensor([size[1], size[0]])
    targets = []
    for count in counts:
        sides = (2 + 5 * torch.rand(count, 2, generator=generator)).exp().minimum(whole * 1.2)
        centre = torch.rand(count, 2, generator=generator) * whole
        boxes = torch.cat([centre - sides / 2, centre + sides / 2], 1)
        targets.append({"boxes": boxes, "labels": torch.randint(CLASSES, (count,), generator=generator)})
    return targets


def towards(heads: list[Tensor], targets: Targets) -> list[Tensor]:
    """The heads with many predictions moved to where boxes are, in cells around the right one and on all anchors."""
    found = [head.clone() for head in heads]
    for level, head in enumerate(found):
        stride, (height, width) = (32, 16, 8)[level], head.shape[2:]
        for image, target in enumerate(targets):
            for number, box in enumerate(target["boxes"].double()):
                centre, side = (box[:2] + box[2:]) / 2 / stride, box[2:] - box[:2]
                column, row = (int(each) for each in centre)
                if not (side > 0).all() or not (0 <= column < width and 0 <= row < height):
                    continue
                anchor = number % 3
                first = anchor * (5 + CLASSES)
                place = (centre - torch.tensor([column, row])).clamp(0.01, 0.99)
                shape = torch.tensor(ANCHORS[3 * (2 - level) + anchor], dtype=torch.float64)
                values = torch.cat([place.logit(), (side / shape).log() + 0.1 * (number % 4)])
                head[image, first : first + 4, row, column] = values
    return found
