"""Average precision as PASCAL VOC counts it.

M. Everingham et al.: The PASCAL Visual Object Classes (VOC) Challenge, IJCV 2010.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from stillroom.errors import StillroomError, did_you_mean

Interpolation = Literal["11point", "integral"]
_INTERPOLATIONS: tuple[str, ...] = get_args(Interpolation)
Found = Sequence[Mapping[str, Tensor]]


class VOCAveragePrecision(Metric):
    """The area under the curve of precision over recall, for each class, and their mean.

    In each image, the surest detection first, a detection is compared with that box of its own class with which it has
    the largest IoU. It is right if the IoU exceeds ``iou_threshold`` and nothing was right about this box before: a
    second detection of one object is a mistake, also where it lies on a free box that it overlaps less. What is found
    of a difficult object is neither right nor wrong, and a difficult object need not be found. Over all images, sorted
    by score, precision is the part of the detections so far that is right, recall the part of the objects that they
    found.

    This is what PaddleDetection computes, for both interpolations; there and in the challenge a box includes the pixels
    of its corners, so it is ``x2 − x1 + 1`` wide, and so is what two boxes share, unless they touch or are apart.

    Args:
        interpolation: ``"11point"``: the mean over the recalls 0, 0.1, ..., 1 of the best precision at that recall or
            a larger one, as in the challenge until 2009; ``"integral"``: the area under the precision as it is, which
            the challenge since then takes of its falling envelope instead.
        iou_threshold: a detection is right only above it.
        inclusive: corners belong to the box, as above; False: it is ``x2 − x1`` wide.
        sync_on_compute: gather from all processes that measure together; else each measures for itself.

    Shape:
        ``update(preds, target)``: for each image ``boxes`` (D, 4), corners x1, y1, x2, y2, ``scores`` (D,) and
        ``labels`` (D,); and ``boxes`` (K, 4), ``labels`` (K,), and where some are difficult ``difficult`` (K,).
        ``compute()``: ``map``, the mean, and ``map_per_class``, a mapping from each label of which there is an object,
        difficult ones aside, to its value; all from 0 to 1, () in float64. A class of which nothing is found has 0.
        Without any object the mean is not a number.

    Raises:
        StillroomError: an argument is out of range; detections and targets do not fit; nothing was measured.
    """

    full_state_update = False
    is_differentiable = False
    higher_is_better = True

    scores: list[Tensor]
    labels: list[Tensor]
    right: list[Tensor]
    objects: list[Tensor]

    def __init__(
        self,
        *,
        interpolation: Interpolation = "11point",
        iou_threshold: float = 0.5,
        inclusive: bool = True,
        sync_on_compute: bool = True,
    ) -> None:
        super().__init__(sync_on_compute=sync_on_compute)
        if interpolation not in _INTERPOLATIONS:
            raise StillroomError(
                f"unknown interpolation {interpolation!r}",
                expected=" or ".join(_INTERPOLATIONS),
                fix=did_you_mean(interpolation, _INTERPOLATIONS),
            )
        if not 0 <= iou_threshold < 1:
            raise StillroomError(
                "no IoU can exceed the threshold", expected="0 <= iou_threshold < 1", got=iou_threshold
            )
        self.interpolation, self.iou_threshold, self.extra = interpolation, iou_threshold, float(inclusive)
        # All of one type: a process without images gathers empty states of the default type.
        for name in ("scores", "labels", "right", "objects"):
            self.add_state(name, [], dist_reduce_fx="cat")

    def update(self, preds: Found, target: Found) -> None:
        """Counts the detections of some images."""
        if len(preds) != len(target):
            raise StillroomError("each image needs a target", expected=len(preds), got=len(target))
        for place, (found, truth) in enumerate(zip(preds, target, strict=True)):
            _check(found, ("boxes", "scores", "labels"), f"preds[{place}]")
            _check(truth, ("boxes", "labels"), f"target[{place}]")
            self._count(found, truth)

    def _count(self, found: Mapping[str, Tensor], truth: Mapping[str, Tensor]) -> None:
        """Of one image."""
        order = found["scores"].argsort(descending=True, stable=True)
        scores, labels, boxes = (found[name][order] for name in ("scores", "labels", "boxes"))
        difficult = truth["difficult"].bool() if "difficult" in truth else torch.zeros_like(truth["labels"]).bool()
        same = labels.unsqueeze(1) == truth["labels"]
        overlap = _iou(boxes, truth["boxes"], self.extra).masked_fill(~same, 0)
        best, box = torch.cat([overlap, overlap.new_zeros(len(overlap), 1)], 1).max(1)  # one more: there may be none
        hit = best > self.iou_threshold
        ignored = hit & torch.cat([difficult, difficult.new_zeros(1)])[box]
        right = hit & _first_of(box, hit, overlap.shape[1] + 1)
        for state, values in (
            (self.scores, scores[~ignored]),
            (self.labels, labels[~ignored]),
            (self.right, right[~ignored]),
            (self.objects, truth["labels"][~difficult]),
        ):
            state.append(values.to(self.device, torch.float32))

    def compute(self) -> dict[str, Any]:
        """Of all images since the last ``reset``."""
        try:
            states = [dim_zero_cat(state).cpu() for state in (self.scores, self.labels, self.right, self.objects)]
        except ValueError as error:  # of an empty list
            raise StillroomError("no image was measured", fix="Call update() first.") from error
        scores, labels, right, objects = states
        order = scores.argsort(descending=True, stable=True)
        labels, right = labels[order], right[order].double()
        area = _eleven_points if self.interpolation == "11point" else _integral
        classes = zip(*objects.unique(return_counts=True), strict=True)
        per_class = {int(each): area(*_curve(right[labels == each], count)) for each, count in classes}
        every = torch.stack([*per_class.values()]) if per_class else torch.tensor([torch.nan], dtype=torch.float64)
        return {"map": every.mean(), "map_per_class": per_class}


def _first_of(box: Tensor, hit: Tensor, count: int) -> Tensor:
    """Which detections, (D,), are the first to hit their box, one of ``count``."""
    place = torch.arange(len(box), device=box.device)
    first = place.new_full((count,), len(box)).scatter_reduce(0, box, place.masked_fill(~hit, len(box)), "amin")
    return first[box] == place


def _iou(a: Tensor, b: Tensor, extra: float) -> Tensor:
    """(D, K), of boxes that are ``extra`` wider than the difference of their corners; 0 where they only touch."""
    a, b = (each.to(torch.promote_types(each.dtype, torch.float32)) for each in (a, b))
    one, other = a.unsqueeze(1), b.unsqueeze(0)
    sides = torch.minimum(one[..., 2:], other[..., 2:]) - torch.maximum(one[..., :2], other[..., :2])
    shared = (sides + extra).prod(-1) * (sides > 0).all(-1)
    areas = [(each[..., 2:] - each[..., :2] + extra).prod(-1) for each in (one, other)]
    return shared / (areas[0] + areas[1] - shared)


def _curve(right: Tensor, count: Tensor) -> tuple[Tensor, Tensor]:
    """Recall and precision after each detection of a class, from what is right of them, the surest first."""
    found = right.cumsum(0)
    return found / count, found / torch.arange(1, len(right) + 1)


def _eleven_points(recall: Tensor, precision: Tensor) -> Tensor:
    reached = recall >= torch.arange(11, dtype=torch.float64).unsqueeze(1) / 10
    best = torch.cat([precision * reached, precision.new_zeros(11, 1)], 1).amax(1)
    return best.mean()


def _integral(recall: Tensor, precision: Tensor) -> Tensor:
    return (recall.diff(prepend=recall.new_zeros(1)) * precision).sum()


def _check(given: Mapping[str, Tensor], names: tuple[str, ...], where: str) -> None:
    missing = [name for name in names if name not in given]
    if missing:
        raise StillroomError("something is missing", where=where, expected=" and ".join(names), got=sorted(given))
    shapes = {name: tuple(given[name].shape) for name in (*names, "difficult") if name in given}
    count = len(given["labels"])
    if any(shape != ((count, 4) if name == "boxes" else (count,)) for name, shape in shapes.items()):
        shown = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise StillroomError("the shapes do not fit", where=where, expected="boxes (K, 4), all others (K,)", got=shown)
