"""PKD: Cao et al., PKD: General Distillation Framework for Object Detectors via Pearson Correlation, NeurIPS 2022."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal, final, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stillroom.losses.arguments import check_option
from stillroom.losses.facts import Facts
from stillroom.losses.shapes import MAPS, check_levels
from stillroom.losses.tensors import common_precision, detached, standardized

Side = Literal["student", "teacher"]
_SIDES: tuple[str, ...] = get_args(Side)
_SHAPES = MAPS._replace(equal=(0, 1))
_EPS = 1e-6


def pkd(student: Tensor | Sequence[Tensor], teacher: Tensor | Sequence[Tensor], *, resize: Side = "student") -> Tensor:
    """The formula of :class:`PKD`; the teacher gets its gradient too."""
    check_option("resize", resize, _SIDES)
    if isinstance(student, Tensor) and isinstance(teacher, Tensor):
        student, teacher = (student,), (teacher,)
    check_levels(student, teacher, _SHAPES, least=1)
    return torch.stack([_of_level(s, t, resize) for s, t in zip(student, teacher, strict=True)]).sum()


def _of_level(student: Tensor, teacher: Tensor, resize: Side) -> Tensor:
    student, teacher = common_precision(student, teacher)
    if resize == "student":
        student = resized(student, teacher)
    else:
        teacher = resized(teacher, student)
    return F.mse_loss(standardized(student, (0, 2, 3), _EPS), standardized(teacher, (0, 2, 3), _EPS)) / 2


def resized(x: Tensor, like: Tensor) -> Tensor:
    """``x`` in the height and width of ``like``, bilinear, with pixels as areas."""
    if x.shape[2:] == like.shape[2:]:
        return x
    return F.interpolate(x, like.shape[2:], mode="bilinear", align_corners=False)


@final
class PKD(nn.Module):
    """Each channel is to correlate with the teacher's; its mean and its size are free.

    For every level, each channel is standardised over N, H and W, ``(x − mean) / (unbiased std + 1e-6)``, and half of
    the mean squared error taken, which is one minus Pearson's correlation times ``(M − 1) / M`` with M = N · H · W; the
    levels' values are added. Where sizes differ, one side is resized, bilinear, whether H differs or only W. A channel
    that is constant over the batch is centred, but not divided. Weights are 6 where one of the detectors has two
    stages, else 10, on four levels.

    The statistics are those of the batch; of several processes, each standardises with its own.

    Args:
        resize: the side that gets the other's height and width.

    Shape:
        student, teacher: (N, C, H, W), or as many of them on each side as there are levels; sizes may differ between
        the sides. Returns ().

    Raises:
        StillroomError: for an unknown side, for other numbers of levels, and for a difference in N or C.

    Example:
        >>> PKD()(torch.tensor([[[[1.0, 2.0, 3.0]]]]), torch.tensor([[[[5.0, 4.0, 3.0]]]]))
        tensor(1.3333)
    """

    facts: ClassVar[Facts] = Facts(
        kind="dense prediction",
        reads="map",
        shapes=_SHAPES,
        paper="Cao et al., NeurIPS 2022",
        zero_at_equality=True,
        shift_invariant=True,
    )

    def __init__(self, *, resize: Side = "student") -> None:
        super().__init__()
        check_option("resize", resize, _SIDES)
        self.resize: Side = resize

    def forward(self, student: Tensor | Sequence[Tensor], teacher: Tensor | Sequence[Tensor]) -> Tensor:
        return pkd(student, detached(teacher), resize=self.resize)
