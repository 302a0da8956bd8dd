"""Absolute error of features: the hint of Romero et al. (FitNets, ICLR 2015) with another distance."""

from __future__ import annotations

from typing import ClassVar, Literal, final, get_args

from torch import Tensor, nn
from torch.nn import functional as F

from stillroom.losses.facts import Facts
from stillroom.losses.reduce import check_reduction, reduced_by
from stillroom.losses.shapes import FEATURES, check_shapes
from stillroom.losses.tensors import common_precision, detached

L1Reduction = Literal["mean", "sum"]


def l1(student: Tensor, teacher: Tensor, *, reduction: L1Reduction = "mean") -> Tensor:
    """The formula of :class:`L1`; the teacher gets its gradient too."""
    check_shapes(student, teacher, FEATURES)
    return reduced_by(F.l1_loss, *common_precision(student, teacher), reduction)


@final
class L1(nn.Module):
    """The student's feature is to equal the teacher's, with less weight on outliers than :class:`L2` gives them.

    ``|s − t|``; its gradient where the two are equal is 0.

    Args:
        reduction: ``"mean"`` over every element, or ``"sum"``.

    Shape:
        student, teacher: (N, C, H, W), (N, D) or any other (N, ...). Returns ().

    Raises:
        StillroomError: for an unknown reduction, and for shapes that differ: nothing is broadcast.

    Example:
        >>> L1()(torch.tensor([[1.0, -3.0]]), torch.tensor([[0.0, 0.0]]))
        tensor(2.)
    """

    facts: ClassVar[Facts] = Facts(
        kind="features",
        reads="feature",
        shapes=FEATURES,
        paper="Romero et al., FitNets, ICLR 2015, with the absolute error",
        connectors=("ConvRegressor", "Conv1x1"),
        zero_at_equality=True,
        per_sample_mean=True,
    )

    def __init__(self, *, reduction: L1Reduction = "mean") -> None:
        super().__init__()
        check_reduction(reduction, get_args(L1Reduction))
        self.reduction: L1Reduction = reduction

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        return l1(student, detached(teacher), reduction=self.reduction)
