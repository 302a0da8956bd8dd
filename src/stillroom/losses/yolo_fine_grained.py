"""YOLO scaled by objectness: Mehta, Ozturk, Object Detection at 200 Frames Per Second, ECCV workshop 2018."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar, Literal, final, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stillroom.losses.arguments import check_option
from stillroom.losses.facts import Facts
from stillroom.losses.tensors import common_precision, detached
from stillroom.losses.yolo_heads import HEADS, Head, check_heads, check_num_classes, split

Objectness = Literal["hard", "soft"]
_OBJECTNESS: tuple[str, ...] = get_args(Objectness)


def yolo_fine_grained(
    student: Sequence[Tensor],
    teacher: Sequence[Tensor],
    *,
    num_classes: int,
    objectness: Objectness = "hard",
    nms: bool = False,
) -> Tensor:
    """The formula of :class:`YOLOFineGrained`; the teacher gets its gradient too."""
    check_option("objectness", objectness, _OBJECTNESS)
    check_heads(student, teacher, num_classes)
    values: list[Tensor] = []
    for pair in zip(student, teacher, strict=True):
        s, t = (split(head, num_classes) for head in common_precision(*pair))
        if nms:
            t = t._replace(objectness=t.objectness.masked_fill(~strongest(t), -math.inf))
        values.append(_of_head(s, t, objectness))
    return torch.stack(values).sum()


def _of_head(student: Head, teacher: Head, objectness: Objectness) -> Tensor:
    score = teacher.objectness.sigmoid()
    weight = score.unsqueeze(2)
    # torch's is max(z, 0) − z · q + log(1 + exp(−|z|)), which does not overflow
    cross_entropy = F.binary_cross_entropy_with_logits
    centre = cross_entropy(student.centre, teacher.centre.sigmoid(), reduction="none")
    boxes = centre + (student.size - teacher.size).abs()
    classes = cross_entropy(student.classes, teacher.classes.sigmoid(), reduction="none")
    target = score if objectness == "soft" else (teacher.objectness > 0).to(score.dtype)
    objects = cross_entropy(student.objectness, target)
    return 2 * (boxes * weight).mean() + (classes * weight).mean() + objects  # a sum over x and y, and over w and h


def strongest(head: Head) -> Tensor:
    """Which predictions no neighbour of the same class surpasses in objectness, (N, A, H, W) of bool.

    Neighbours are all anchors of the 3 x 3 cells around; the class of a prediction is its most likely one.
    """
    objectness, classes = head.objectness.detach(), head.classes.detach().argmax(dim=2)
    n, _, h, w = objectness.shape
    of_class = objectness.new_full((n, head.classes.shape[2], h, w), -math.inf)
    in_cell = of_class.scatter_reduce(1, classes, objectness, "amax")
    around = F.max_pool2d(in_cell, 3, stride=1, padding=1)
    return objectness >= around.gather(1, classes)


@final
class YOLOFineGrained(nn.Module):
    """Boxes, classes and objectness are to be the teacher's, the first two where the teacher sees an object.

    For each head, with σ the sigmoid, o the teacher's objectness and BCE(z, q) the cross entropy of σ(z) with q::

        boxes      = mean over N, A, H, W of [BCE(x_s, σ(x_t)) + BCE(y_s, σ(y_t)) + |w_s − w_t| + |h_s − h_t|] · σ(o)
        classes    = mean over N, A, C, H, W of BCE(c_s, σ(c_t)) · σ(o)
        objectness = mean over N, A, H, W of BCE(o_s, 1 where o > 0), with "soft" BCE(o_s, σ(o))

    The three, summed over the heads. This is PaddleDetection's; it gives the term a weight of 1000, for YOLOv3's own
    loss is a sum over cells. BCE with a soft target has that target's entropy, not 0, as its minimum.

    With ``nms`` the teacher first loses its repeated detections, the paper's feature map NMS: o counts as −∞ for every
    prediction that is not the strongest of its class around, that is, if any anchor of its own or of the eight cells
    next to it in the same head has the same most likely class and a higher objectness. It has then no weight, and the
    student is taught an objectness of 0 there. Equals do not suppress each other, and what is itself suppressed still
    suppresses.

    Args:
        num_classes: of the two detectors.
        objectness: the target of the student's objectness, ``"hard"`` or ``"soft"``; the paper's is soft.
        nms: whether only the strongest of neighbouring predictions of one class teaches.

    Shape:
        student, teacher: one or more heads (N, A · (5 + num_classes), H, W), usually three, in the same order; for each
        anchor the channels are [x, y, w, h, objectness, classes ...], before any sigmoid or exponential. Returns ().

    Raises:
        StillroomError: for num_classes below 1, for an unknown objectness, for other numbers of heads, for shapes that
            differ, and for channels that do not fit num_classes.

    Example:
        >>> student, teacher = torch.zeros(1, 6, 1, 1), torch.tensor([0.0, 0, 1, -1, 0, 0]).view(1, 6, 1, 1)
        >>> YOLOFineGrained(1)((student,), (teacher,))  # (2 log 2 + 2) / 2 + log 2 / 2 + log 2
        tensor(2.7329)
    """

    facts: ClassVar[Facts] = Facts(
        kind="dense prediction",
        reads="maps",
        shapes=HEADS,
        paper="Mehta, Ozturk, ECCV workshop 2018, arXiv 1805.06361",
        per_sample_mean=True,
        permutation_invariant=False,
        ce_form=True,
    )

    def __init__(self, num_classes: int, *, objectness: Objectness = "hard", nms: bool = False) -> None:
        super().__init__()
        check_num_classes(num_classes)
        check_option("objectness", objectness, _OBJECTNESS)
        self.num_classes = num_classes
        self.objectness: Objectness = objectness
        self.nms = nms

    def forward(self, student: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
        return yolo_fine_grained(
            student, detached(teacher), num_classes=self.num_classes, objectness=self.objectness, nms=self.nms
        )
