"""As loss_mutants.py, for the losses of dense detectors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import loss_checks
import torch
from loss_mutants import Check, original
from loss_subjects import Subject
from torch import Tensor, nn

from stillroom import losses


def by_class_first(x: Tensor) -> Tensor:
    return x.unflatten(1, (-1, 2)).transpose(1, 2).flatten(1, 2)


def crossing_by_class_first(s: Any, t: Any, hidden: Any, tail: Any, scores: Any, **rest: Any) -> Tensor:
    teachers, scored = ([by_class_first(x) for x in side] for side in (t, scores))
    return losses.cross_kd(s, teachers, hidden=hidden, tail=[tail, by_class_first], scores=scored, **rest)


WRONG_VALUES: dict[str, tuple[Subject, Callable[..., Tensor]]] = {
    "LD summed over the bins": (
        original("LocalizationDistillation", tau=2.0),
        lambda s, t, weights, tau: 3 * losses.localization_distillation(s, t, weights=weights, tau=tau),
    ),
    "LD averaged over the locations": (
        original("LocalizationDistillation"),
        lambda s, t, weights: losses.localization_distillation(s, t, weights=weights) / len(s),
    ),
    "LD with the sides behind the bins": (
        original("LocalizationDistillation", tau=2.0),
        lambda s, t, weights, tau: losses.localization_distillation(
            *(x.unflatten(1, (3, 4)).transpose(1, 2).flatten(1, 2) for x in (s, t)), weights=weights, tau=tau
        ),
    ),
    "a head that is crossed with its own statistics": (
        original("CrossKD"),
        lambda s, t, **context: losses.cross_kd(s, t, **(context | {"hidden": s})),
    ),
    "a head that is crossed with what ReLU takes away": (
        original("CrossKD", predictions="distances"),
        lambda s, t, hidden, tail, **rest: losses.cross_kd(
            [-x for x in s], t, hidden=[-x for x in hidden], tail=[torch.neg, tail], **rest
        ),
    ),
    "a head whose positives are not counted": (
        original("CrossKD"),
        lambda s, t, hidden, tail, **_: losses.cross_kd(s, t, hidden=hidden, tail=tail),
    ),
    "anchors behind the classes": (
        original("CrossKD", predictions="deltas", anchors=2),
        crossing_by_class_first,
    ),
}


WRONG_MANNERS: dict[str, tuple[Subject, Callable[..., Tensor], Check]] = {
    "a tail that is trained": (original("CrossKD"), losses.cross_kd, loss_checks.check_teacher_gets_no_gradient),
    "an average over no location": (
        original("LocalizationDistillation"),
        lambda s, t, weights: losses.localization_distillation(s, t, weights=weights) / len(s),
        loss_checks.check_extremes,
    ),
}


class Transposed(losses.FGD):
    """Boxes whose x and y are taken for each other, as in the authors' first version."""

    def forward(self, student: Tensor, teacher: Tensor, *, boxes: Any, image_size: Any) -> Tensor:
        swapped = [each[:, [1, 0, 3, 2]] for each in boxes]
        return super().forward(student, teacher, boxes=swapped, image_size=image_size)


class Unpadded(losses.FGD):
    """Boxes that are scaled by the size of the image without its padding."""

    def forward(self, student: Tensor, teacher: Tensor, *, boxes: Any, image_size: Any) -> Tensor:
        smaller = [side - 8 for side in image_size]
        return super().forward(student, teacher, boxes=boxes, image_size=smaller)


WRONG_MODULES: dict[str, tuple[Subject, type[nn.Module]]] = {
    "FGD with x for y": (original("FGD", channels=4), Transposed),
    "FGD with the size of the unpadded image": (original("FGD", channels=4), Unpadded),
}
