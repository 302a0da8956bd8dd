"""Which anchor of which cell answers for a box, in YOLOv3."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from stillroom.errors import StillroomError


class Boxes(NamedTuple):
    """The boxes of N images, padded to the same number K with ones that are not valid.

    Args:
        corners: x1, y1, x2, y2 in pixels within the image, (N, K, 4).
        labels: (N, K).
        scores: how much each counts, (N, K).
        valid: those with an area and a score above 0, (N, K).
    """

    corners: Tensor
    labels: Tensor
    scores: Tensor
    valid: Tensor

    @property
    def centre(self) -> Tensor:
        """x, y in pixels, (N, K, 2)."""
        return (self.corners[..., :2] + self.corners[..., 2:]) / 2

    @property
    def size(self) -> Tensor:
        """Width and height in pixels, (N, K, 2); 1 where the box is not valid, so that logarithms are finite."""
        return torch.where(self.valid.unsqueeze(-1), self.corners[..., 2:] - self.corners[..., :2], 1)


class Cells(NamedTuple):
    """The places of K boxes in the maps of a head: indices of the sample (N, 1), the anchor, the row and the column,
    each (N, K)."""

    sample: Tensor
    anchor: Tensor
    row: Tensor
    column: Tensor

    def of(self, values: Tensor) -> Tensor:
        """What (N, A, H, W) holds there, (N, K)."""
        return values[self.sample, self.anchor, self.row, self.column]

    def of_classes(self, values: Tensor) -> Tensor:
        """What (N, A, C, H, W) holds there, (N, K, C)."""
        return values[self.sample, self.anchor, :, self.row, self.column]


def padded(
    targets: Sequence[Mapping[str, Tensor]], *, count: int, image_size: tuple[int, int], num_classes: int, like: Tensor
) -> Boxes:
    """The targets of a batch, clipped to the image, as tensors of the type of ``like``.

    Raises:
        StillroomError: there are more or fewer targets than images; boxes, labels and scores do not fit; a label is
            not one of ``num_classes``.
    """
    if len(targets) != count:
        raise StillroomError("each image needs a target", where="targets", expected=count, got=len(targets))
    for place, target in enumerate(targets):
        _check(target, f"targets[{place}]")
    _check_labels([target["labels"] for target in targets], num_classes)
    boxes = _together([target["boxes"] for target in targets], like).to(like.dtype)
    height, width = image_size
    corners = boxes.minimum(boxes.new_tensor([width, height] * 2)).clamp_min(0)
    scores = _together([_scores(target) for target in targets], like).to(like.dtype)
    whole = (corners[..., 2:] > corners[..., :2]).all(-1)
    labels = _together([target["labels"] for target in targets], like)
    return Boxes(corners, labels, scores, whole & (scores > 0))


def _together(each: Sequence[Tensor], like: Tensor) -> Tensor:
    return pad_sequence([one.to(like.device) for one in each], batch_first=True)


def _scores(target: Mapping[str, Tensor]) -> Tensor:
    return target["scores"] if "scores" in target else torch.ones_like(target["labels"], dtype=torch.float32)


def _check(target: Mapping[str, Tensor], where: str) -> None:
    missing = [name for name in ("boxes", "labels") if name not in target]
    if missing:
        raise StillroomError("the target is not whole", where=where, expected="boxes and labels", got=sorted(target))
    boxes, counts = (
        target["boxes"],
        {name: tuple(target[name].shape) for name in ("labels", "scores") if name in target},
    )
    fits = boxes.ndim == 2 and boxes.shape[1] == 4 and all(shape == (len(boxes),) for shape in counts.values())
    if not fits:
        shown = ", ".join(f"{name} {shape}" for name, shape in (("boxes", tuple(boxes.shape)), *counts.items()))
        raise StillroomError(
            "the target does not fit", where=where, expected="boxes (K, 4), labels (K,), scores (K,)", got=shown
        )


def _check_labels(labels: Sequence[Tensor], num_classes: int) -> None:
    every = torch.cat(list(labels)) if labels else torch.zeros(0)
    if not every.numel():
        return
    least, most = (int(end) for end in torch.stack(every.aminmax()).tolist())  # one wait for the device
    if least < 0 or most >= num_classes:
        raise StillroomError(
            "the model has other classes than the data",
            where="targets",
            expected=f"labels from 0 to {num_classes - 1}, none for the background",
            got=least if least < 0 else most,
        )


def best_anchor(size: Tensor, anchors: Tensor) -> Tensor:
    """The anchor whose shape has the largest IoU with each box, both laid on one centre; the first of equals.

    Shape: sizes (N, K, 2) and anchors (M, 2), in the same unit, in; (N, K) out.
    """
    shared = torch.minimum(size.unsqueeze(2), anchors).prod(-1)
    both = size.prod(-1, keepdim=True) + anchors.prod(-1)
    return (shared / (both - shared)).argmax(-1)


def cells_of(boxes: Boxes, anchor: Tensor, *, shape: tuple[int, int, int], stride: int) -> Cells:
    """Where the boxes fall in a head of ``shape`` A, H, W with cells of ``stride`` pixels.

    The anchors (N, K) are clamped to those of the head; one on the far border of the image is in the last cell.
    """
    anchors, height, width = shape
    column, row = (boxes.centre / stride).long().unbind(-1)  # rounds down, as none is below 0
    sample = torch.arange(len(anchor), device=anchor.device).unsqueeze(1)
    return Cells(sample, anchor.clamp(0, anchors - 1), row.clamp_max(height - 1), column.clamp_max(width - 1))


def last_in(cells: Cells, here: Tensor, *, shape: tuple[int, int, int]) -> Tensor:
    """The number of the last box at each place of a head of ``shape`` A, H, W, from 1; 0 where there is none.

    Args:
        cells: where they are.
        here: which of them belong to the head, (N, K).
        shape: of the head.

    Returns:
        (N, A, H, W).
    """
    _, height, width = shape
    place = (cells.anchor * height + cells.row) * width + cells.column
    empty = place.new_zeros(len(place), prod(shape))
    return empty.scatter_reduce(1, place, numbers(here) * here, "amax").unflatten(1, shape)


def numbers(boxes: Tensor) -> Tensor:
    """From 1, (K,), of boxes (N, K)."""
    return torch.arange(1, boxes.shape[1] + 1, device=boxes.device)
