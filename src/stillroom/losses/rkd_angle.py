"""Relational distillation, angles: Park et al., Relational Knowledge Distillation, CVPR 2019, equations 9 and 10."""

from __future__ import annotations

from typing import ClassVar, final

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from stillroom.losses.facts import Facts
from stillroom.losses.relations import SAMPLES, gram
from stillroom.losses.shapes import check_shapes
from stillroom.losses.tensors import common_precision, detached, unit

_BLOCK = 2**22  # numbers in the largest tensor: 16 MB of float32


def rkd_angle(student: Tensor, teacher: Tensor) -> Tensor:
    """The formula of :class:`RKDAngle`; the teacher gets its gradient too."""
    check_shapes(student, teacher, SAMPLES)
    s, t = (x.flatten(1) for x in common_precision(student, teacher))
    count = len(s)
    size = max(1, _BLOCK // (count * max(count, s.shape[1], t.shape[1])))
    if size >= count:
        return _errors(s, t, s, t) / count**3
    # The backward pass of a block computes its angles again, so that no more than one block is ever held.
    sums = [
        checkpoint(_errors, s, t, s[i : i + size], t[i : i + size], use_reentrant=False, preserve_rng_state=False)
        for i in range(0, count, size)
    ]
    return torch.stack(sums).sum() / count**3


def _errors(student: Tensor, teacher: Tensor, corners_s: Tensor, corners_t: Tensor) -> Tensor:
    return F.smooth_l1_loss(cosines(student, corners_s), cosines(teacher, corners_t), reduction="sum")


def cosines(x: Tensor, corners: Tensor) -> Tensor:
    """The cosines of the angles at each corner between the directions to all pairs of samples; 0 without a direction.

    Shape: x (N, D), corners (B, D). Returns (B, N, N).
    """
    return gram(unit(x - corners.unsqueeze(1), 2))


@final
class RKDAngle(nn.Module):
    """Three samples are to form the angle that they form for the teacher.

    ``e_ij = (x_j − x_i) / ‖x_j − x_i‖`` and ``A_ijk = e_ij · e_ik`` for all triplets; the mean over N³ of the smooth L1
    error (β = 1), with 0 for the cosine where two samples of a triplet coincide. Nothing is normalised before, as in
    the authors' code. The pooled vector, with a weight of 50 beside 25 for :class:`RKDDistance`, is usual. Large
    batches are taken in blocks of corners: memory stays, time grows with N³.

    It depends on the batch; of several processes, each compares the samples of its own.

    Shape:
        student, teacher: (N, D), (N, C, H, W) or any other (N, ...), flattened; only N must be the same. Returns ().

    Raises:
        StillroomError: for a difference in N.

    Example:
        >>> RKDAngle()(torch.tensor([[0.0], [1.0], [2.0]]), torch.tensor([[0.0, 0.0], [0.0, 3.0], [3.0, 0.0]]))
        tensor(0.1296)
    """

    facts: ClassVar[Facts] = Facts(
        kind="relations",
        reads="feature",
        shapes=SAMPLES,
        paper="Park et al., CVPR 2019",
        cost="N x N x N relations of the samples, in blocks",
        zero_at_equality=True,
        shift_invariant=True,
        scale_invariant=True,
    )

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        return rkd_angle(student, detached(teacher))
