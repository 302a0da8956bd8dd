"""Relational distillation, distances: Park et al., Relational Knowledge Distillation, CVPR 2019, equations 6 to 8."""

from __future__ import annotations

from typing import ClassVar, final

from torch import Tensor, nn
from torch.nn import functional as F

from stillroom.losses.facts import Facts
from stillroom.losses.relations import SAMPLES, distances
from stillroom.losses.shapes import check_shapes
from stillroom.losses.tensors import common_precision, detached, divided


def rkd_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """The formula of :class:`RKDDistance`; the teacher gets its gradient too."""
    check_shapes(student, teacher, SAMPLES)
    student, teacher = common_precision(student, teacher)
    errors = F.smooth_l1_loss(relative_distances(student), relative_distances(teacher), reduction="sum")
    return 2 * errors / student.shape[0] ** 2


def relative_distances(x: Tensor) -> Tensor:
    """The distances of all pairs of samples, each once, in units of their mean. (N, ...) in, (N (N − 1) / 2,) out."""
    every = distances(x.flatten(1))
    return divided(every, every.sum() / (every > 0).sum().clamp_min(1))


@final
class RKDDistance(nn.Module):
    """Samples are to be as far from each other as they are for the teacher, each in its own unit of length.

    Euclidean distances of all pairs, divided by the mean of those above 0; the mean over N² of their smooth L1 error
    (β = 1), the diagonal included. Nothing is normalised before, as in the authors' code. The pooled vector, with a
    weight of 25 beside 50 for :class:`RKDAngle`, is usual. Samples that coincide have the distance 0 and no gradient;
    a single one gives 0.

    It depends on the batch; of several processes, each compares the samples of its own.

    Shape:
        student, teacher: (N, D), (N, C, H, W) or any other (N, ...), flattened; only N must be the same. Returns ().

    Raises:
        StillroomError: for a difference in N.

    Example:
        >>> RKDDistance()(torch.tensor([[0.0], [1.0], [2.0]]), torch.tensor([[0.0, 0.0], [0.0, 3.0], [3.0, 0.0]]))
        tensor(0.0717)
    """

    facts: ClassVar[Facts] = Facts(
        kind="relations",
        reads="feature",
        shapes=SAMPLES,
        paper="Park et al., CVPR 2019",
        cost="N x N relations of the samples",
        zero_at_equality=True,
        shift_invariant=True,
        scale_invariant=True,
    )

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        return rkd_distance(student, detached(teacher))
