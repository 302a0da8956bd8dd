"""Masked generative distillation: Yang et al., Masked Generative Distillation, ECCV 2022, equation 4."""

from __future__ import annotations

from typing import ClassVar, final

from torch import Tensor, nn

from stillroom.losses.facts import Facts
from stillroom.losses.l2 import l2
from stillroom.losses.shapes import FEATURES
from stillroom.losses.tensors import detached


def mgd(student: Tensor, teacher: Tensor) -> Tensor:
    """The formula of :class:`MGD`; the teacher gets its gradient too."""
    return l2(student, teacher, reduction="batchmean")


@final
class MGD(nn.Module):
    """What is generated from a part of the student's map is to equal the teacher's whole map.

    ``Σ (s − t)² / N``, not divided by C, H or W: :class:`L2` with the reduction ``"batchmean"``. The mask and the
    generator are the connector MaskedGeneration, without which this is no masked generative distillation. The sum is
    large: the authors' weights are 2e-5 (one-stage detectors), 5e-7 (two-stage) and 7e-5 (classification).

    Shape:
        student, teacher: (N, C, H, W), (N, D) or any other (N, ...), the student's after the connector. Returns ().

    Raises:
        StillroomError: for shapes that differ.

    Example:
        >>> MGD()(torch.tensor([[1.0, 3.0]]), torch.tensor([[0.0, 0.0]]))
        tensor(10.)
    """

    facts: ClassVar[Facts] = Facts(
        kind="features",
        reads="feature",
        shapes=FEATURES,
        paper="Yang et al., ECCV 2022",
        connectors=("MaskedGeneration",),
        zero_at_equality=True,
        per_sample_mean=True,
    )

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        return mgd(student, detached(teacher))
