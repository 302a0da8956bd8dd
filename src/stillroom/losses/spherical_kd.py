"""Spherical KD: Guo et al., Reducing the Teacher-Student Gap via Spherical Knowledge Distillation, arXiv 2010.07485."""

from __future__ import annotations

import math
from typing import ClassVar, final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stillroom.errors import StillroomError
from stillroom.losses.facts import Facts
from stillroom.losses.shapes import LOGITS, check_classes, check_shapes
from stillroom.losses.soft_label import soft_label
from stillroom.losses.tensors import common_precision, detached, is_constant

_EPS = 1e-7


def spherical_kd(student: Tensor, teacher: Tensor, *, multiplier: float | None = None) -> Tensor:
    """The formula of :class:`SphericalKD`; the teacher gets its gradient too."""
    check_shapes(student, teacher, LOGITS)
    check_classes(student)
    student, teacher = common_precision(student, teacher)
    scale = teacher.std(dim=1, keepdim=True) if multiplier is None else multiplier
    return soft_label(on_sphere(student) * scale, on_sphere(teacher) * scale)


def on_sphere(logits: Tensor) -> Tensor:
    """Each row centred and of norm √C, as by a layer norm without parameters.

    A constant row is only centred: divided by the root of the eps it would get a gradient 3000 times too large.
    """
    normed = F.layer_norm(logits, logits.shape[1:], eps=_EPS)
    return torch.where(is_constant(logits, 1), logits - logits.mean(dim=1, keepdim=True), normed)


@final
class SphericalKD(nn.Module):
    """Soft labels of logits whose norm is the teacher's on both sides: how sure the student is does not matter.

    Mean over the batch of ``−Σ_c softmax(m · n(t))_c · log softmax(m · n(s))_c``, with n a layer norm over the classes
    without parameters (eps 1e-7) and m the multiplier of both sides; no factor for it, as in PaddleSlim's skd. At
    equality the value is the entropy of what is softened, not 0. StreamlinedKD, also called SKD, is another method.

    Args:
        multiplier: above 0; None takes the unbiased standard deviation of the teacher's logits, sample by sample. The
            authors recommend 2 to 3.

    Shape:
        student, teacher: (N, C) logits of at least two classes. Returns ().

    Raises:
        StillroomError: for a multiplier that is not above 0, for shapes that differ, and for a single class.

    Example:
        >>> SphericalKD(multiplier=1.0)(torch.tensor([[1.0, 3.0]]), torch.tensor([[10.0, 30.0]]))
        tensor(0.3653)
    """

    facts: ClassVar[Facts] = Facts(
        kind="logits",
        reads="logits",
        shapes=LOGITS,
        paper="Guo et al., arXiv 2010.07485",
        per_sample_mean=True,
        shift_invariant=True,
        ce_form=True,
    )

    def __init__(self, *, multiplier: float | None = None) -> None:
        super().__init__()
        if multiplier is not None and not 0 < multiplier < math.inf:
            raise StillroomError(
                "multiplier cannot scale logits", expected="multiplier > 0 and finite, or None", got=multiplier
            )
        self.multiplier = multiplier

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        return spherical_kd(student, detached(teacher), multiplier=self.multiplier)
