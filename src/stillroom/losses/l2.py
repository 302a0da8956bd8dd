"""Squared error of features: Romero et al., FitNets: Hints for Thin Deep Nets, ICLR 2015, equation 3."""

from __future__ import annotations

from typing import ClassVar, final

from torch import Tensor, nn
from torch.nn import functional as F

from stillroom.losses.facts import Facts
from stillroom.losses.reduce import Reduction, check_reduction, reduced_by
from stillroom.losses.shapes import FEATURES, check_shapes
from stillroom.losses.tensors import common_precision, detached, unit_samples


def l2(student: Tensor, teacher: Tensor, *, normalize: bool = False, reduction: Reduction = "mean") -> Tensor:
    """The formula of :class:`L2`; the teacher gets its gradient too."""
    check_shapes(student, teacher, FEATURES)
    student, teacher = common_precision(student, teacher)
    if normalize:
        student, teacher = unit_samples(student), unit_samples(teacher)
    return reduced_by(F.mse_loss, student, teacher, reduction)


@final
class L2(nn.Module):
    """The student's feature is to equal the teacher's: the hint of FitNets.

    ``(s − t)²``, averaged over every element: the value of a wide map is no larger than that of a narrow one, and a
    term on it needs a large weight (100 is usual). The paper halves the sum instead.

    Args:
        normalize: first divide each sample, flattened, by ``max(its L2 norm, 1e-12)``.
        reduction: ``"mean"`` over every element; ``"batchmean"`` divides the sum by N alone; ``"sum"``; ``"none"``.

    Shape:
        student, teacher: (N, C, H, W), (N, D) or any other (N, ...).
        Returns (), with ``"none"`` the shape of the input.

    Raises:
        StillroomError: for an unknown reduction, and for shapes that differ: nothing is broadcast.

    Example:
        >>> L2()(torch.tensor([[1.0, 3.0]]), torch.tensor([[0.0, 0.0]]))
        tensor(5.)
    """

    facts: ClassVar[Facts] = Facts(
        kind="features",
        reads="feature",
        shapes=FEATURES,
        paper="Romero et al., FitNets, ICLR 2015",
        connectors=("ConvRegressor", "Conv1x1"),
        zero_at_equality=True,
        per_sample_mean=True,
    )

    def __init__(self, *, normalize: bool = False, reduction: Reduction = "mean") -> None:
        super().__init__()
        check_reduction(reduction)
        self.normalize = normalize
        self.reduction: Reduction = reduction

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        return l2(student, detached(teacher), normalize=self.normalize, reduction=self.reduction)
