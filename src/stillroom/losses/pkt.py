"""Probabilistic knowledge transfer: Passalis, Tefas, Learning Deep Representations with PKT, ECCV 2018."""

from __future__ import annotations

import math
from typing import ClassVar, final

import torch
from torch import Tensor, nn

from stillroom.errors import StillroomError
from stillroom.losses.facts import Facts
from stillroom.losses.relations import SAMPLES, gram
from stillroom.losses.shapes import check_shapes
from stillroom.losses.tensors import common_precision, detached


def pkt(student: Tensor, teacher: Tensor, *, eps: float = 1e-7) -> Tensor:
    """The formula of :class:`PKT`; the teacher gets its gradient too."""
    check_shapes(student, teacher, SAMPLES)
    q_s, q_t = (neighbours(x, eps) for x in common_precision(student, teacher))
    return (q_t * ((q_t + eps).log() - (q_s + eps).log())).mean()


def neighbours(x: Tensor, eps: float) -> Tensor:
    """Each sample's probabilities of being near the others. (N, ...) in, (1, N, N) out, rows that sum to 1."""
    rows = x.flatten(1)
    rows = rows / (torch.linalg.vector_norm(rows, dim=1, keepdim=True) + eps)
    # The cosine of opposite samples may round to below −1, and the log of what it gives is then nan.
    affinities = ((gram(rows.unsqueeze(0)) + 1) / 2).clamp_min(0)
    return affinities / affinities.sum(dim=2, keepdim=True)


@final
class PKT(nn.Module):
    """Samples that are neighbours for the teacher are to be neighbours for the student.

    Cosine similarities ``c`` of all pairs of samples, with ``x / (‖x‖ + eps)``; ``(c + 1) / 2`` divided by the sums of
    its rows is q; the mean over N² of ``q_t log((q_t + eps) / (q_s + eps))``, the diagonal included. That mean makes
    the value small: weights are near 30000. The eps lets it fall below 0, by the order of eps, and keeps the
    minimum from lying exactly at equality.

    It depends on the batch; of several processes, each compares the samples of its own.

    Args:
        eps: added to norms and probabilities, above 0.

    Shape:
        student, teacher: (N, D), (N, C, H, W) or any other (N, ...), flattened; only N must be the same. Returns ().

    Raises:
        StillroomError: for an eps that is not above 0, and for a difference in N.

    Example:
        >>> PKT()(torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([[1.0], [1.0]]))
        tensor(0.0294)
    """

    facts: ClassVar[Facts] = Facts(
        kind="relations",
        reads="feature",
        shapes=SAMPLES,
        paper="Passalis, Tefas, ECCV 2018",
        cost="N x N relations of the samples",
        non_negative=False,
    )

    def __init__(self, *, eps: float = 1e-7) -> None:
        super().__init__()
        if not 0 < eps < math.inf:
            raise StillroomError("eps cannot keep a logarithm finite", expected="eps > 0 and finite", got=eps)
        self.eps = eps

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        return pkt(student, detached(teacher), eps=self.eps)
