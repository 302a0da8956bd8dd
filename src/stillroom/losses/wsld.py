"""Weighted soft labels: Zhou et al., Rethinking Soft Labels for Knowledge Distillation, ICLR 2021, equation 10."""

from __future__ import annotations

from typing import ClassVar, final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stillroom.losses.facts import Facts
from stillroom.losses.labels import check_labels, log_odds
from stillroom.losses.shapes import LOGITS, check_classes, check_shapes
from stillroom.losses.temperature import check_tau, softmax, tempered
from stillroom.losses.tensors import common_precision, detached

_EPS = 1e-7


def wsld(student: Tensor, teacher: Tensor, *, labels: Tensor, tau: float = 2.0) -> Tensor:
    """The formula of :class:`WSLD`; the teacher gets its gradient too, but neither side any through the weights."""
    check_shapes(student, teacher, LOGITS)
    check_classes(student)
    check_labels(labels, student)
    student, teacher = common_precision(student, teacher)
    target = sample_weights(student.detach(), teacher.detach(), labels) * softmax(teacher, tau)
    return tau**2 * F.cross_entropy(tempered(student, tau), target)


def sample_weights(student: Tensor, teacher: Tensor, labels: Tensor) -> Tensor:
    """``1 − exp(−CE_s / (CE_t + 1e-7))``: near 0 where the student is better than the teacher. (N, 1)."""
    error_s, error_t = (-F.logsigmoid(log_odds(x, labels)) for x in (student, teacher))
    return -torch.expm1(-error_s / (error_t + _EPS))


@final
class WSLD(nn.Module):
    """Soft labels that count less where the student knows the label better than the teacher does.

    ``tau² · mean of f_i · (−Σ_c p_t log p_s)``, with ``p = softmax(logits / tau)`` and the weight of a sample
    ``f = 1 − exp(−CE_s / (CE_t + 1e-7))``, in which CE is the cross entropy to the label without a temperature, and
    through which no gradient flows. At equality f is ``1 − 1/e`` and the value not 0: a cross entropy, not a
    divergence. The authors weigh the term with 2.5.

    Args:
        tau: the temperature of the soft labels, above 0.

    Shape:
        student, teacher: (N, C) logits of at least two classes. labels: (N,) int64. Returns ().

    Raises:
        StillroomError: for a tau that is none, for shapes that differ, and for labels that are no class numbers.

    Example:
        >>> WSLD()(torch.zeros(1, 2), torch.zeros(1, 2), labels=torch.tensor([1]))
        tensor(1.7526)
    """

    facts: ClassVar[Facts] = Facts(
        kind="logits",
        reads="logits",
        shapes=LOGITS,
        paper="Zhou et al., ICLR 2021",
        per_sample_mean=True,
        shift_invariant=True,
    )

    def __init__(self, *, tau: float = 2.0) -> None:
        super().__init__()
        check_tau(tau)
        self.tau = tau

    def forward(self, student: Tensor, teacher: Tensor, *, labels: Tensor) -> Tensor:
        return wsld(student, detached(teacher), labels=labels, tau=self.tau)
