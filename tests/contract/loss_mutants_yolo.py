"""As loss_mutants.py, for the losses of YOLO's raw heads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import loss_checks
import torch
from loss_mutants import Check, original
from loss_subjects import Subject
from torch import Tensor
from torch.nn import functional as F

from stillroom import losses

CLASSES = 2
SOFT = {"num_classes": CLASSES, "objectness": "soft"}
SUPPRESSED = {"num_classes": CLASSES, "nms": True}


def moved(heads: tuple[Tensor, ...], order: list[int]) -> tuple[Tensor, ...]:
    """The heads with each anchor's channels in another order."""
    return tuple(x.unflatten(1, (-1, 5 + CLASSES))[:, :, order].flatten(1, 2) for x in heads)


def in_order(order: list[int]) -> Callable[..., Tensor]:
    return lambda s, t, **arguments: losses.yolo_fine_grained(moved(s, order), moved(t, order), **arguments)


def anchors_last(s: Any, t: Any, **arguments: Any) -> Tensor:
    """Takes the channels for [x of all anchors, y of all anchors ...]."""
    turned = [tuple(x.unflatten(1, (5 + CLASSES, -1)).transpose(1, 2).flatten(1, 2) for x in side) for side in (s, t)]
    return losses.yolo_fine_grained(*turned, **arguments)


def unscaled(s: Any, t: Any, **arguments: Any) -> Tensor:
    """The teacher's objectness is a target alone, not a weight: with one of 30 the weight is 1."""
    sure = [x.unflatten(1, (-1, 5 + CLASSES)).clone() for x in t]
    objects = []
    for x, y in zip(s, sure, strict=True):
        o = x.unflatten(1, (-1, 5 + CLASSES))[:, :, 4]
        objects.append(F.binary_cross_entropy_with_logits(o, (y[:, :, 4] > 0).to(o)) - F.softplus(-o).mean())
        y[:, :, 4] = 60.0
    return losses.yolo_fine_grained(s, [x.flatten(1, 2) for x in sure], **arguments) + sum(objects)


def suppressed_in_their_cell(s: Any, t: Any, *, num_classes: int, nms: bool) -> Tensor:
    """Cells become samples, so that none has neighbours."""
    assert nms
    total = torch.zeros((), dtype=s[0].dtype)
    for pair in zip(s, t, strict=True):
        cells = [(x.movedim(1, -1).reshape(-1, x.shape[1], 1, 1),) for x in pair]
        total = total + losses.yolo_fine_grained(*cells, num_classes=num_classes, nms=True)
    return total


WRONG_VALUES: dict[str, tuple[Subject, Callable[..., Tensor]]] = {
    "YOLO L2 over all heads at once": (
        original("YOLOHeadL2", num_classes=CLASSES),
        lambda s, t, **_: F.mse_loss(*(torch.cat([x.flatten() for x in side]) for side in (s, t))),
    ),
    "YOLO L2 averaged over the heads": (
        original("YOLOHeadL2", num_classes=CLASSES),
        lambda s, t, **_: losses.yolo_head_l2(s, t, num_classes=CLASSES) / len(s),
    ),
    "YOLO with classes before the box": (
        original("YOLOFineGrained", num_classes=CLASSES),
        in_order([*range(2, 7), 0, 1]),
    ),
    "YOLO with objectness last": (original("YOLOFineGrained", num_classes=CLASSES), in_order([0, 1, 2, 3, 5, 6, 4])),
    "YOLO with size before centre": (original("YOLOFineGrained", num_classes=CLASSES), in_order([2, 3, 0, 1, 4, 5, 6])),
    "YOLO with channels before anchors": (original("YOLOFineGrained", num_classes=CLASSES), anchors_last),
    "YOLO not scaled by objectness": (original("YOLOFineGrained", num_classes=CLASSES), unscaled),
    "YOLO with a hard objectness called soft": (
        original("YOLOFineGrained", **SOFT),
        lambda s, t, num_classes, **_: losses.yolo_fine_grained(s, t, num_classes=num_classes),
    ),
    "YOLO with all of its repeated detections": (
        original("YOLOFineGrained", **SUPPRESSED),
        lambda s, t, num_classes, **_: losses.yolo_fine_grained(s, t, num_classes=num_classes),
    ),
    "YOLO suppressed within a cell alone": (original("YOLOFineGrained", **SUPPRESSED), suppressed_in_their_cell),
}


def by_logarithms(s: Any, t: Any, *, num_classes: int) -> Tensor:
    """The cross entropy of probabilities, which become 0 and 1."""
    value = losses.yolo_fine_grained(s, t, num_classes=num_classes)
    return value + 0 * sum(x.sigmoid().log().sum() for x in s)


WRONG_MANNERS: dict[str, tuple[Subject, Callable[..., Tensor], Check]] = {
    "YOLO by logarithms of sigmoids": (
        original("YOLOFineGrained", num_classes=CLASSES),
        by_logarithms,
        loss_checks.check_extremes,
    ),
}
