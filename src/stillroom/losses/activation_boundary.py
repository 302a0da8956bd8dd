"""Activation boundaries: Heo et al., Knowledge Transfer via Distillation of Activation Boundaries, AAAI 2019."""

from __future__ import annotations

from typing import ClassVar, final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stillroom.losses.arguments import check_at_least
from stillroom.losses.facts import Facts
from stillroom.losses.shapes import FEATURES, check_shapes
from stillroom.losses.tensors import common_precision, detached

_FACTOR = 3 / 1000  # of the authors' code: with it, term weights near 1 are right


def activation_boundary(student: Tensor, teacher: Tensor, *, margin: float = 1.0) -> Tensor:
    """The formula of :class:`ActivationBoundary`; no gradient reaches the teacher, of which only signs are read."""
    check_shapes(student, teacher, FEATURES)
    student, teacher = common_precision(student, teacher)
    sides = torch.where(teacher > 0, 1.0, -1.0).to(student.dtype)
    return F.relu(margin - sides * student).square().sum() * (_FACTOR / student.shape[0])


@final
class ActivationBoundary(nn.Module):
    """A neuron of the student is to be active exactly where the teacher's is, and clearly so.

    ``3 / (1000 N) · Σ [(s + m)² where s > −m and t ≤ 0; (s − m)² where s ≤ m and t > 0]``: a squared hinge, which is 0
    once s lies beyond the margin m on the teacher's side of 0. Both sides are read before the activation and after the
    batch norm. The paper trains this alone first; stages count 2^(i − n + 1), the deepest 1.

    Args:
        margin: how far from 0 the student is to stay, at least 0.

    Shape:
        student, teacher: (N, C, H, W), (N, D) or any other (N, ...). Returns ().

    Raises:
        StillroomError: for a negative margin, and for shapes that differ.

    Example:
        >>> ActivationBoundary()(torch.tensor([[9.0, -9.0]]), torch.tensor([[-0.1, -0.1]]))
        tensor(0.3000)
    """

    facts: ClassVar[Facts] = Facts(
        kind="features",
        reads="feature",
        shapes=FEATURES,
        paper="Heo et al., AAAI 2019",
        connectors=("ConvNormAct",),
        cost="epochs of its own first, without the task",
        per_sample_mean=True,
    )

    def __init__(self, *, margin: float = 1.0) -> None:
        super().__init__()
        check_at_least("margin", margin, 0, "margin is no distance from the boundary")
        self.margin = margin

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        return activation_boundary(student, detached(teacher), margin=self.margin)
