"""What each loss of YOLO's raw heads must be; see loss_references.py."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from loss_references import Array

Heads = Sequence[Array]


def yolo_head_l2(student: Heads, teacher: Heads, *, num_classes: int) -> float:
    assert all(head.shape[1] % (5 + num_classes) == 0 for head in student)
    total = 0.0
    for s, t in zip(student, teacher, strict=True):
        total += sum((a - b) ** 2 for a, b in zip(s.flat, t.flat, strict=True)) / s.size
    return total


def yolo_fine_grained(
    student: Heads, teacher: Heads, *, num_classes: int, objectness: str = "hard", nms: bool = False
) -> float:
    total = 0.0
    for s, t in zip(student, teacher, strict=True):
        boxes = classes = objects = 0.0
        places = [(n, a, i, j) for n, i, j in np.ndindex(len(s), *s.shape[2:]) for a in range(_anchors(s, num_classes))]
        for place in places:
            mine, truth = _prediction(s, place, num_classes), _prediction(t, place, num_classes)
            weight = _sigmoid(truth[4])
            target = weight if objectness == "soft" else float(truth[4] > 0)
            if nms and _suppressed(t, place, num_classes):
                weight = target = 0.0
            boxes += weight * sum(_cross_entropy(mine[k], _sigmoid(truth[k])) for k in (0, 1))
            boxes += weight * sum(abs(mine[k] - truth[k]) for k in (2, 3))
            classes += weight * sum(_cross_entropy(a, _sigmoid(b)) for a, b in zip(mine[5:], truth[5:], strict=True))
            objects += _cross_entropy(mine[4], target)
        total += (boxes + classes / num_classes + objects) / len(places)
    return total


def _anchors(head: Array, num_classes: int) -> int:
    return head.shape[1] // (5 + num_classes)


def _prediction(head: Array, place: tuple[int, int, int, int], num_classes: int) -> list[float]:
    """[x, y, w, h, objectness, classes ...] of one sample, anchor, row and column."""
    n, anchor, i, j = place
    first = anchor * (5 + num_classes)
    return [float(head[n, first + k, i, j]) for k in range(5 + num_classes)]


def _suppressed(head: Array, place: tuple[int, int, int, int], num_classes: int) -> bool:
    n, _, i, j = place
    own = _prediction(head, place, num_classes)
    for row in range(max(i - 1, 0), min(i + 2, head.shape[2])):
        for column in range(max(j - 1, 0), min(j + 2, head.shape[3])):
            for anchor in range(_anchors(head, num_classes)):
                other = _prediction(head, (n, anchor, row, column), num_classes)
                if _class(other) == _class(own) and other[4] > own[4]:
                    return True
    return False


def _class(prediction: list[float]) -> int:
    scores = prediction[5:]
    return scores.index(max(scores))


def _sigmoid(z: float) -> float:
    return 1 / (1 + math.exp(-z))


def _cross_entropy(z: float, q: float) -> float:
    return -q * math.log(_sigmoid(z)) - (1 - q) * math.log(_sigmoid(-z))
