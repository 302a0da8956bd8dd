from __future__ import annotations

import math

import pytest
import torch

from stillroom.errors import StillroomError
from stillroom.losses import HardLabel, hard_label


def test_by_hand() -> None:
    student = torch.tensor([[math.log(3.0), 0.0], [0.0, 0.0]])
    teacher = torch.tensor([[5.0, 1.0], [-2.0, -1.0]])
    assert float(HardLabel()(student, teacher)) == pytest.approx((-math.log(0.75) - math.log(0.5)) / 2)


def test_only_the_decision_of_the_teacher_counts() -> None:
    student, teacher = torch.randn(2, 6, 10, generator=torch.Generator().manual_seed(0))
    assert torch.equal(hard_label(student, teacher), hard_label(student, 1e4 * teacher))
    assert torch.equal(hard_label(student, teacher), hard_label(student, teacher.softmax(1)))


def test_of_equal_classes_the_first_is_the_label() -> None:
    student = torch.tensor([[2.0, 1.0, 0.0]])
    assert torch.equal(hard_label(student, torch.zeros(1, 3)), hard_label(student, torch.tensor([[1.0, 0.0, 0.0]])))


def test_student_that_equals_the_teacher_still_learns() -> None:
    logits = torch.tensor([[1.0, 0.0]], requires_grad=True)
    HardLabel()(logits, logits.detach()).backward()
    assert logits.grad is not None
    assert logits.grad[0, 0] < 0 < logits.grad[0, 1]


def test_half_precision_teacher_keeps_its_decision() -> None:
    """The class is read in the teacher's own precision, and the value in the student's, at least float32."""
    value = hard_label(torch.zeros(1, 3, dtype=torch.float16), torch.tensor([[1, 3, 2]], dtype=torch.bfloat16))
    assert value.dtype is torch.float32
    assert float(value) == pytest.approx(math.log(3))


def test_teacher_with_other_classes_is_refused() -> None:
    """Its class would be a valid label here, of another thing."""
    with pytest.raises(StillroomError, match=r"got student \(2, 5\) and teacher \(2, 4\)\."):
        HardLabel()(torch.zeros(2, 5), torch.zeros(2, 4))
