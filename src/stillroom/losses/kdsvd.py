"""KD-SVD: Lee, Kim, Song, Self-supervised Knowledge Distillation Using Singular Value Decomposition, ECCV 2018."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import ClassVar, final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stillroom.losses.arguments import check_at_least
from stillroom.losses.facts import Facts
from stillroom.losses.relations import gram
from stillroom.losses.shapes import MAPS, check_levels
from stillroom.losses.tensors import bmm, common_precision, detached, unit

_SPARE = 3  # student vectors beyond k among which a teacher vector finds its partner


def kdsvd(student: Sequence[Tensor], teacher: Sequence[Tensor], *, k: int = 1) -> Tensor:
    """The formula of :class:`KDSVD`; the teacher gets its gradient too."""
    check_levels(student, teacher, MAPS, least=2)
    k = min(k, *(min(x.shape[1], x.shape[2] * x.shape[3]) for x in teacher))
    layers = [aligned(s, t, k) for s, t in zip(student, teacher, strict=True)]
    errors = [
        F.mse_loss(relation(s, previous_s), relation(t, previous_t), reduction="sum")
        for (previous_s, previous_t), (s, t) in itertools.pairwise(layers)
    ]
    return torch.stack(errors).sum() / len(student[0])


def relation(vectors: Tensor, previous: Tensor) -> Tensor:
    """``exp(−(v_c − v'_c')² / 8)`` of every two entries. (N, C, k), (N, C', k) in, (N, C, C', k) out."""
    return torch.exp(-(vectors.unsqueeze(2) - previous.unsqueeze(1)).square() / 8)


def aligned(student: Tensor, teacher: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The teacher's first k right singular vectors and their partners in the student, times the singular values.

    Shape: (N, C, H, W) twice in; (N, C, k) twice out.
    """
    s, t = (x.flatten(2) for x in common_precision(student, teacher))
    v_s, v_t = right_vectors(s, k + _SPARE), right_vectors(t, k)
    peaks = v_t.detach().abs().argmax(dim=1, keepdim=True)
    v_t = v_t * v_t.detach().gather(1, peaks).sign()
    cosines = bmm(v_s.transpose(1, 2), v_t).detach()
    best = cosines.abs().argmax(dim=1, keepdim=True)
    partners = v_s.gather(2, best.expand(-1, s.shape[1], -1)) * cosines.gather(1, best).sign()
    sizes = torch.linalg.vector_norm(bmm(v_t.transpose(1, 2), t), dim=2)
    scale = unit(sizes, 1).unsqueeze(1)
    return partners * scale, v_t * scale


def right_vectors(x: Tensor, count: int) -> Tensor:
    """The first right singular vectors of the maps' (HW, C) matrices. (N, C, HW) in, (N, C, count or fewer) out.

    They are the eigenvectors of ``A = x xᵀ``. Their derivative is taken here, because that of a decomposition is
    infinite where singular values are equal: vector j turns towards vector i by ``vᵢᵀ dA vⱼ / (λⱼ − λᵢ)``, but here not
    at all where the two λ are the same within the square root of the precision.
    """
    a = gram(x)
    rising, basis = torch.linalg.eigh(a.detach())
    count = min(count, *x.shape[1:])
    vectors, values = basis.flip(2)[..., :count], rising.flip(1)[:, :count]
    if not a.requires_grad:
        return vectors
    gaps = values.unsqueeze(1) - rising.unsqueeze(2)
    noise = torch.finfo(a.dtype).eps ** 0.5 * rising[:, -1, None, None]
    rates = torch.where(gaps.abs() > noise, 1 / gaps, 0)
    turn = bmm(basis, rates * bmm(basis.transpose(1, 2), bmm(a, vectors)))
    return vectors + (turn - turn.detach())


@final
class KDSVD(nn.Module):
    """The main pattern over the channels is to change from layer to layer as the teacher's does.

    Each sample's map is a matrix (H · W, C). Each of the teacher's first k right singular vectors has as its partner
    the one of the student's first k + 3 with the largest absolute cosine, turned to its side; both are scaled by the
    teacher's singular values, as a vector of unit norm. Between consecutive layers
    ``R = exp(−(v[c] − v'[c'])² / 8)`` for every c and c'; ``Σ (R_s − R_t)² / N`` over all layers.

    A singular vector has no sign of its own, but R depends on it: here its largest entry is positive. Where singular
    values coincide, the vectors are arbitrary, and get no gradient towards each other. On a GPU, the decomposition
    makes the host wait.

    Args:
        k: the number of the teacher's vectors; fewer if one of the layers has a smaller C or H · W.

    Shape:
        student, teacher: two or more maps (N, C, H, W), in order; each of the student's has the shape of the
        teacher's. Returns ().

    Raises:
        StillroomError: for a k below 1, for fewer than two maps, and for shapes that differ.

    Example:
        >>> one, two = torch.tensor([[[[1.0]], [[0.0]]]]), torch.tensor([[[[0.0]], [[1.0]]]])
        >>> KDSVD()((one, one), (one, two))
        tensor(0.0276)
    """

    facts: ClassVar[Facts] = Facts(
        kind="features",
        reads="maps",
        shapes=MAPS,
        paper="Lee, Kim, Song, ECCV 2018",
        cost="an SVD of each map",
        zero_at_equality=True,
        per_sample_mean=True,
        scale_invariant=True,
    )

    def __init__(self, *, k: int = 1) -> None:
        super().__init__()
        check_at_least("k", k, 1, "k is no number of vectors")
        self.k = k

    def forward(self, student: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
        return kdsvd(student, detached(teacher), k=self.k)
