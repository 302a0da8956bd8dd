"""Distillation without a teacher: Yuan et al., Revisiting Knowledge Distillation via Label Smoothing, CVPR 2020."""

from __future__ import annotations

from typing import ClassVar, final

import torch
from torch import Tensor, nn

from stillroom.errors import StillroomError
from stillroom.losses.facts import Facts
from stillroom.losses.kl_divergence import kl_divergence
from stillroom.losses.labels import check_labels, with_label
from stillroom.losses.shapes import LOGITS, check_classes, check_shape
from stillroom.losses.temperature import check_tau
from stillroom.losses.tensors import at_least_float32


def virtual_teacher(student: Tensor, *, labels: Tensor, correct: float = 0.9, tau: float = 20.0) -> Tensor:
    """The formula of :class:`VirtualTeacher`."""
    check_shape(student, LOGITS)
    check_classes(student)
    check_labels(labels, student)
    student = at_least_float32(student)
    rest = torch.full_like(student, (1 - correct) / (student.shape[1] - 1))
    return kl_divergence(student, with_label(rest, labels, correct), tau=tau)


@final
class VirtualTeacher(nn.Module):
    """A teacher made of the labels alone, which is always right and never quite sure (Tf-KD_reg).

    ``tau² · KL(softmax(u / tau) ‖ softmax(s / tau))``, batch mean, with ``u = correct`` on the label and
    ``(1 − correct) / (C − 1)`` on every other class. As in the paper, the probabilities u are softened as if they were
    logits. The authors' code leaves the student at temperature 1 and averages over all elements, so that its
    multipliers do not transfer.

    Args:
        correct: the probability of the label, above 0 and at most 1.
        tau: the temperature, above 0; the authors take 20 to 40.

    Shape:
        student: (N, C) logits of at least two classes. labels: (N,) int64. There is no teacher. Returns ().

    Raises:
        StillroomError: for an argument out of range, for anything but logits, and for labels that are no class numbers.

    Example:
        >>> VirtualTeacher()(torch.tensor([[0.9, 0.1]]), labels=torch.tensor([0]))
        tensor(0.)
    """

    facts: ClassVar[Facts] = Facts(
        kind="logits",
        reads="logits",
        shapes=LOGITS,
        paper="Yuan et al., CVPR 2020",
        per_sample_mean=True,
        shift_invariant=True,
    )

    def __init__(self, *, correct: float = 0.9, tau: float = 20.0) -> None:
        super().__init__()
        if not 0 < correct <= 1:
            raise StillroomError("correct is no probability", expected="0 < correct <= 1", got=correct)
        check_tau(tau)
        self.correct = correct
        self.tau = tau

    def forward(self, student: Tensor, *, labels: Tensor) -> Tensor:
        return virtual_teacher(student, labels=labels, correct=self.correct, tau=self.tau)
