"""OFA-KD: Hao et al., One-for-All: Bridge the Gap Between Heterogeneous Architectures, NeurIPS 2023, equation 6."""

from __future__ import annotations

import math
from typing import ClassVar, final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stillroom.errors import StillroomError
from stillroom.losses.facts import Facts
from stillroom.losses.labels import check_labels, of_label
from stillroom.losses.shapes import LOGITS, check_shapes
from stillroom.losses.tensors import common_precision, detached


def ofakd(student: Tensor, teacher: Tensor, *, labels: Tensor, eps: float = 1.0) -> Tensor:
    """The formula of :class:`OFAKD`; the teacher gets its gradient too."""
    check_shapes(student, teacher, LOGITS)
    check_labels(labels, student)
    student, teacher = common_precision(student, teacher)
    return F.cross_entropy(student, _target(F.log_softmax(teacher, dim=1), labels, eps))


def _target(log_t: Tensor, labels: Tensor, eps: float) -> Tensor:
    """``p^eps``, and ``(p + 1)^eps − 1`` for the label: both by logarithms, exact for a p near 0."""
    sure = torch.expm1(eps * torch.log1p(of_label(log_t, labels).exp()))
    return (eps * log_t).exp().scatter(1, labels.unsqueeze(1), sure)


@final
class OFAKD(nn.Module):
    """Soft labels in which the label's class counts more, for teachers of another architecture.

    Mean over the batch of ``−Σ_c ((p_t + 1_y)^eps − 1_y) log p_s``, with ``p = softmax(logits)`` and 1_y the one-hot
    label. At ``eps=1`` this is :class:`SoftLabel`, and the label does not matter; above 1 a teacher that is sure of it
    counts more. The method applies the loss to the student's logits and to those of a head at each of four stages.

    Args:
        eps: above 0. The authors take 1, and 1.5 for ResNet18 under DeiT-T; results depend on it between architectures.

    Shape:
        student, teacher: (N, C) logits. labels: (N,) int64. Returns ().

    Raises:
        StillroomError: for an eps that is not above 0, for shapes that differ, and for labels that are no class
            numbers.

    Example:
        >>> OFAKD(eps=2.0)(torch.zeros(1, 2), torch.zeros(1, 2), labels=torch.tensor([0]))
        tensor(1.0397)
    """

    facts: ClassVar[Facts] = Facts(
        kind="logits",
        reads="logits",
        shapes=LOGITS,
        paper="Hao et al., NeurIPS 2023",
        cost="a head to be trained at each of four stages",
        per_sample_mean=True,
        shift_invariant=True,
        ce_form=True,
    )

    def __init__(self, *, eps: float = 1.0) -> None:
        super().__init__()
        if not 0 < eps < math.inf:
            raise StillroomError("eps is no power for probabilities", expected="eps > 0 and finite", got=eps)
        self.eps = eps

    def forward(self, student: Tensor, teacher: Tensor, *, labels: Tensor) -> Tensor:
        return ofakd(student, detached(teacher), labels=labels, eps=self.eps)
