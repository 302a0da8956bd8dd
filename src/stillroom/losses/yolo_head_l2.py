"""Squared error of YOLOv3's raw heads, as PaddleDetection distils with ``L2Distill``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, final

import torch
from torch import Tensor, nn

from stillroom.losses.facts import Facts
from stillroom.losses.reduce import mean_squared_error
from stillroom.losses.tensors import common_precision, detached
from stillroom.losses.yolo_heads import HEADS, check_heads, check_num_classes


def yolo_head_l2(student: Sequence[Tensor], teacher: Sequence[Tensor], *, num_classes: int) -> Tensor:
    """The formula of :class:`YOLOHeadL2`; the teacher gets its gradient too."""
    check_heads(student, teacher, num_classes)
    pairs = zip(student, teacher, strict=True)
    return torch.stack([mean_squared_error(*common_precision(s, t)) for s, t in pairs]).sum()


@final
class YOLOHeadL2(nn.Module):
    """Every number that the student's heads give is to equal the teacher's, before any sigmoid.

    The mean of ``(s − t)²`` over each head, summed over the heads: a cell of a coarse head weighs more than one of a
    fine head. YOLOv3's own loss is a sum over cells, so a term on it needs a large weight; PaddleDetection takes 100.

    Args:
        num_classes: of the two detectors; used to refuse heads of others.

    Shape:
        student, teacher: one or more heads (N, A · (5 + num_classes), H, W), usually three, in the same order; A and
        the size may differ from head to head. Returns ().

    Raises:
        StillroomError: for num_classes below 1, for other numbers of heads, for shapes that differ, and for channels
            that do not fit num_classes.

    Example:
        >>> coarse, fine = torch.zeros(1, 6, 1, 1), torch.zeros(1, 6, 2, 2)
        >>> YOLOHeadL2(1)((coarse, fine), (coarse + 1, fine + 2))
        tensor(5.)
    """

    facts: ClassVar[Facts] = Facts(
        kind="dense prediction",
        reads="maps",
        shapes=HEADS,
        paper="PaddleDetection, YOLOv3 distillation",
        zero_at_equality=True,
        per_sample_mean=True,
    )

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        check_num_classes(num_classes)
        self.num_classes = num_classes

    def forward(self, student: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
        return yolo_head_l2(student, detached(teacher), num_classes=self.num_classes)
