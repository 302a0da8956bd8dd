"""Overhaul of feature distillation: Heo et al., A Comprehensive Overhaul of Feature Distillation, ICCV 2019."""

from __future__ import annotations

from typing import ClassVar, final

from torch import Tensor, nn
from torch.nn import functional as F

from stillroom.losses.facts import Facts
from stillroom.losses.shapes import FEATURES, check_shapes
from stillroom.losses.tensors import common_precision, detached


def ofd(student: Tensor, teacher: Tensor) -> Tensor:
    """The formula of :class:`OFD`; the teacher gets its gradient too."""
    check_shapes(student, teacher, FEATURES)
    student, teacher = common_precision(student, teacher)
    counts = ((student > teacher) | (teacher > 0)).to(student.dtype)
    return (F.mse_loss(student, teacher, reduction="none") * counts).sum() / (1000 * student.shape[0])


@final
class OFD(nn.Module):
    """Partial L2: where the teacher is silent, the student has only to be as silent.

    ``Σ (s − t)² where s > t or t > 0, / (1000 N)``. Both sides are read before the ReLU; the teacher's first passes
    OFDMargin, which lifts its large negative values to the mean of the channel's. Stages count 2^(i − n + 1), the
    deepest 1. The authors write a weight of 1e-3 for sum / N, which is 1 here (ImageNet 0.1, segmentation 0.01).

    Shape:
        student, teacher: (N, C, H, W), (N, D) or any other (N, ...). Returns ().

    Raises:
        StillroomError: for shapes that differ.

    Example:
        >>> OFD()(torch.tensor([[1.0, -9.0, 9.0]]), torch.tensor([[11.0, -1.0, -1.0]]))
        tensor(0.2000)
    """

    facts: ClassVar[Facts] = Facts(
        kind="features",
        reads="feature",
        shapes=FEATURES,
        paper="Heo et al., ICCV 2019",
        connectors=("ConvNormAct",),
        teacher_connector="OFDMargin",
        zero_at_equality=True,
        per_sample_mean=True,
    )

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        return ofd(student, detached(teacher))
