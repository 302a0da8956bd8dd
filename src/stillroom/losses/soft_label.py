"""Soft labels: cross entropy to the teacher's probabilities; Hinton, Vinyals, Dean, 2014, as PaddleSlim defines it."""

from __future__ import annotations

from typing import ClassVar, final

from torch import Tensor, nn

from stillroom.losses.facts import Facts
from stillroom.losses.shapes import LOGITS, check_shapes
from stillroom.losses.temperature import check_tau, log_softmax, softmax
from stillroom.losses.tensors import common_precision, detached


def soft_label(
    student: Tensor, teacher: Tensor, *, teacher_temperature: float = 1.0, student_temperature: float = 1.0
) -> Tensor:
    """The formula of :class:`SoftLabel`; the teacher gets its gradient too."""
    check_shapes(student, teacher, LOGITS)
    student, teacher = common_precision(student, teacher)
    target = softmax(teacher, teacher_temperature)
    return -(target * log_softmax(student, student_temperature)).sum() / student.shape[0]


@final
class SoftLabel(nn.Module):
    """Cross entropy with the teacher's class probabilities as the label.

    Mean over the batch of ``−Σ_c softmax(t / T_t)_c · log softmax(s / T_s)_c``. There is no factor T²: the gradient
    shrinks as the temperatures grow. At equality the value is the teacher's entropy, not 0.

    Args:
        teacher_temperature: T_t, above 0.
        student_temperature: T_s, above 0.

    Shape:
        student, teacher: (N, C) logits after the bias, never probabilities: they would pass through softmax twice.
        Returns ().

    Raises:
        StillroomError: for a temperature that is none, and for shapes that differ.

    Example:
        >>> SoftLabel()(torch.zeros(1, 2), torch.zeros(1, 2))
        tensor(0.6931)
    """

    facts: ClassVar[Facts] = Facts(
        kind="logits",
        reads="logits",
        shapes=LOGITS,
        paper="Hinton et al., NIPS workshop 2014, arXiv 1503.02531; PaddleSlim soft_label",
        per_sample_mean=True,
        shift_invariant=True,
        ce_form=True,
    )

    def __init__(self, *, teacher_temperature: float = 1.0, student_temperature: float = 1.0) -> None:
        super().__init__()
        check_tau(teacher_temperature, "teacher_temperature")
        check_tau(student_temperature, "student_temperature")
        self.teacher_temperature = teacher_temperature
        self.student_temperature = student_temperature

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        return soft_label(
            student,
            detached(teacher),
            teacher_temperature=self.teacher_temperature,
            student_temperature=self.student_temperature,
        )
