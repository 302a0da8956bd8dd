"""Hierarchical context loss: Chen et al., Distilling Knowledge via Knowledge Review (ReviewKD), CVPR 2021."""

from __future__ import annotations

from typing import ClassVar, final

from torch import Tensor, nn
from torch.nn import functional as F

from stillroom.losses.facts import Facts
from stillroom.losses.shapes import MAPS, check_shapes
from stillroom.losses.tensors import common_precision, detached

_SIZES = (4, 2, 1)


def hierarchical_context(student: Tensor, teacher: Tensor) -> Tensor:
    """The formula of :class:`HierarchicalContext`; the teacher gets its gradient too."""
    check_shapes(student, teacher, MAPS)
    student, teacher = common_precision(student, teacher)
    error = student - teacher  # pooling is linear: one map to pool, not two
    value, weight, weights = error.square().mean(), 1.0, 1.0
    for size in (size for size in _SIZES if size < error.shape[2]):
        weight /= 2
        value = value + weight * F.adaptive_avg_pool2d(error, size).square().mean()
        weights += weight
    return value / weights


@final
class HierarchicalContext(nn.Module):
    """The student's map is to equal the teacher's at full size and, with less weight, pooled to coarser ones.

    Mean squared errors: of the map, and of its averages over 4 × 4, 2 × 2 and 1 × 1 cells, where fewer than H; weighted
    1, ½, ¼, ⅛ in order of use (a size that is left out consumes no weight) and divided by the sum of the weights. This
    is the loss of one map; ReviewKD adds those of the four maps that AttentionFusion returns.

    Shape:
        student, teacher: (N, C, H, W). Returns ().

    Raises:
        StillroomError: for anything but maps, and for shapes that differ.

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

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        return hierarchical_context(student, detached(teacher))
