from __future__ import annotations

import pytest
import torch

from stillroom.errors import StillroomError
from stillroom.losses import OFD, ofd


@pytest.mark.parametrize(
    ("student", "teacher", "square"),
    [
        (1.0, 3.0, 4.0),  # the teacher is active: plain L2
        (5.0, 3.0, 4.0),
        (-1.0, -3.0, 4.0),  # silent, but the student is less so
        (-5.0, -3.0, 0.0),  # both silent
        (-1.0, 0.0, 0.0),
        (1.0, 0.0, 1.0),
    ],
)
def test_each_case_by_hand(student: float, teacher: float, square: float) -> None:
    value = OFD()(torch.tensor([[student]]), torch.tensor([[teacher]]))
    assert float(value) == pytest.approx(square / 1000)


def test_sum_over_elements_and_mean_over_samples() -> None:
    assert float(OFD()(torch.zeros(2, 3, 4, 4), torch.ones(2, 3, 4, 4))) == pytest.approx(48 / 1000)


def test_where_both_are_silent_no_gradient_arrives() -> None:
    student = torch.tensor([[-5.0, 5.0]], requires_grad=True)
    ofd(student, torch.tensor([[-3.0, -3.0]])).backward()
    assert student.grad is not None
    assert student.grad.tolist() == [[0.0, pytest.approx(2 * 8 / 1000)]]


def test_other_shape_is_refused() -> None:
    with pytest.raises(StillroomError, match=r"got student \(2, 3, 4, 4\) and teacher \(2, 3, 4, 1\)\. A connector"):
        OFD()(torch.zeros(2, 3, 4, 4), torch.zeros(2, 3, 4, 1))
