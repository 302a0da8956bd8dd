"""Hierarchical context loss: Chen et al., Distilling Knowledge via Knowledge Review (ReviewKD), CVPR 2021."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stillroom.losses.facts import Facts
from stillroom.losses.reduce import mean_squared_error
from stillroom.losses.shapes import MAPS, check_levels, check_shapes
from stillroom.losses.tensors import common_precision, detached

_SIZES = (4, 2, 1)


def hierarchical_context(student: Tensor | Sequence[Tensor], teacher: Tensor | Sequence[Tensor]) -> Tensor:
    """The formula of :class:`HierarchicalContext`; the teacher gets its gradient too."""
    if isinstance(student, Tensor) and isinstance(teacher, Tensor):
        check_shapes(student, teacher, MAPS)
        return _of_map(student, teacher)
    check_levels(student, teacher, MAPS, least=1)
    return torch.stack([_of_map(s, t) for s, t in zip(student, teacher, strict=True)]).sum()


def _of_map(student: Tensor, teacher: Tensor) -> Tensor:
    student, teacher = common_precision(student, teacher)
    value, weight, weights = mean_squared_error(student, teacher), 1.0, 1.0
    for size in (size for size in _SIZES if size < student.shape[2]):
        weight /= 2
        pooled = (F.adaptive_avg_pool2d(x, size) for x in (student, teacher))
        value = value + weight * mean_squared_error(*pooled)
        weights += weight
    return value / weights


@final
class HierarchicalContext(nn.Module):
    """The student's map is to equal the teacher's at full size and, with less weight, pooled to coarser ones.

    Mean squared errors: of the map, and of its averages over 4 × 4, 2 × 2 and 1 × 1 cells, where fewer than H; weighted
    1, ½, ¼, ⅛ in order of use (a size that is left out consumes no weight) and divided by the sum of the weights. The
    values of several maps, such as those that AttentionFusion returns, are added.

    Shape:
        student, teacher: (N, C, H, W), or as many maps on each side, each of the other's shape. Returns ().

    Raises:
        StillroomError: for anything but maps, for other numbers of them, and for shapes that differ.

    Example:
        >>> HierarchicalContext()(torch.tensor([[[[1.0, -1.0], [1.0, -1.0]]]]), torch.zeros(1, 1, 2, 2))
        tensor(0.6667)
    """

    facts: ClassVar[Facts] = Facts(
        kind="features",
        reads="map",
        shapes=MAPS,
        paper="Chen et al., ReviewKD, CVPR 2021",
        connectors=("AttentionFusion",),
        zero_at_equality=True,
        per_sample_mean=True,
    )

    def forward(self, student: Tensor | Sequence[Tensor], teacher: Tensor | Sequence[Tensor]) -> Tensor:
        return hierarchical_context(student, detached(teacher))
