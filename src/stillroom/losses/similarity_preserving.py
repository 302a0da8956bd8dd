"""Similarity preserving: Tung, Mori, Similarity-Preserving Knowledge Distillation, ICCV 2019, equations 1 to 4."""

from __future__ import annotations

from typing import ClassVar, final

from torch import Tensor, nn
from torch.nn import functional as F

from stillroom.losses.facts import Facts
from stillroom.losses.relations import SAMPLES, similarities
from stillroom.losses.shapes import check_shapes
from stillroom.losses.tensors import common_precision, detached


def similarity_preserving(student: Tensor, teacher: Tensor) -> Tensor:
    """The formula of :class:`SimilarityPreserving`; the teacher gets its gradient too."""
    check_shapes(student, teacher, SAMPLES)
    g_s, g_t = (similarities(x.flatten(1).unsqueeze(0)) for x in common_precision(student, teacher))
    return F.mse_loss(g_s, g_t)


@final
class SimilarityPreserving(nn.Module):
    """Samples that excite the teacher alike are to excite the student alike.

    ``G = f fᵀ`` of the flattened features (N, N), each row divided by its L2 norm; ``Σ (G_s − G_t)² / N²``. The last
    map, with a weight of 3000, is usual.

    It depends on the batch; of several processes, each compares the samples of its own.

    Shape:
        student, teacher: (N, C, H, W), (N, D) or any other (N, ...), flattened; only N must be the same. Returns ().

    Raises:
        StillroomError: for a difference in N.

    Example:
        >>> SimilarityPreserving()(torch.tensor([[3.0, 0.0], [0.0, 4.0]]), torch.tensor([[1.0], [1.0]]))
        tensor(0.2929)
    """

    facts: ClassVar[Facts] = Facts(
        kind="relations",
        reads="feature",
        shapes=SAMPLES,
        paper="Tung, Mori, ICCV 2019",
        cost="N x N relations of the samples",
        zero_at_equality=True,
        scale_invariant=True,
    )

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        return similarity_preserving(student, detached(teacher))
