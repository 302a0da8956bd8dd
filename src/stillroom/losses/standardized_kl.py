"""Logit standardisation: Sun et al., Logit Standardization in Knowledge Distillation, CVPR 2024, algorithm 1."""

from __future__ import annotations

from typing import ClassVar, final

from torch import Tensor, nn

from stillroom.losses.facts import Facts
from stillroom.losses.kl_divergence import kl_divergence
from stillroom.losses.shapes import LOGITS, check_classes, check_shapes
from stillroom.losses.temperature import check_tau
from stillroom.losses.tensors import common_precision, detached, standardized

_EPS = 1e-7


def standardized_kl(student: Tensor, teacher: Tensor, *, tau: float = 2.0) -> Tensor:
    """The formula of :class:`StandardizedKL`; the teacher gets its gradient too."""
    check_shapes(student, teacher, LOGITS)
    check_classes(student)
    student, teacher = (standardized(x, (1,), _EPS) for x in common_precision(student, teacher))
    return kl_divergence(student, teacher, tau=tau)


@final
class StandardizedKL(nn.Module):
    """:class:`KLDivergence` of logits in units of their own spread, so that the student may choose its scale.

    ``z' = (z − mean) / (unbiased std + 1e-7)`` over the classes of each sample, for both sides; then
    ``tau² · KL(softmax(t' / tau) ‖ softmax(s' / tau))``, batch mean. But for the 1e-7, neither a factor nor a shift of
    a sample's logits matters; a constant row is only centred. The authors weigh the term with 9 beside 0.1 of the
    task's loss.

    Args:
        tau: the temperature, in units of the standard deviation, above 0.

    Shape:
        student, teacher: (N, C) logits of at least two classes. Returns ().

    Raises:
        StillroomError: for a tau that is none, for shapes that differ, and for a single class.

    Example:
        >>> StandardizedKL()(torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[2.0, 4.0, 8.0]]))
        tensor(0.0105)
    """

    facts: ClassVar[Facts] = Facts(
        kind="logits",
        reads="logits",
        shapes=LOGITS,
        paper="Sun et al., CVPR 2024",
        zero_at_equality=True,
        per_sample_mean=True,
        shift_invariant=True,
    )

    def __init__(self, *, tau: float = 2.0) -> None:
        super().__init__()
        check_tau(tau)
        self.tau = tau

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        return standardized_kl(student, detached(teacher), tau=self.tau)
