from __future__ import annotations

import pytest
import torch

from stillroom.errors import StillroomError
from stillroom.losses import L1, l1


def test_each_reduction_by_hand() -> None:
    student, teacher = torch.tensor([[1.0, -2.0], [3.0, 4.0]]), torch.tensor([[0.0, 0.0], [0.0, 6.0]])
    assert float(L1()(student, teacher)) == 8 / 4
    assert float(L1(reduction="sum")(student, teacher)) == 8


def test_gradient_is_a_sign_and_zero_at_equality() -> None:
    student = torch.tensor([[1.0, 2.0, 3.0]], requires_grad=True)
    l1(student, torch.tensor([[0.0, 2.0, 9.0]]), reduction="sum").backward()
    assert student.grad is not None
    assert student.grad.tolist() == [[1.0, 0.0, -1.0]]


@pytest.mark.parametrize("reduction", ["batchmean", "none"])
def test_reductions_of_l2_are_refused_at_once(reduction: str) -> None:
    """mmrazor takes batchmean here and fails in the first step."""
    with pytest.raises(StillroomError, match=rf"^unknown reduction '{reduction}'; expected mean or sum\."):
        L1(reduction=reduction)  # pyright: ignore[reportArgumentType]


def test_nothing_is_broadcast() -> None:
    with pytest.raises(StillroomError, match=r"got student \(4, 8, 1, 1\) and teacher \(4, 8, 2, 2\)\."):
        L1()(torch.zeros(4, 8, 1, 1), torch.zeros(4, 8, 2, 2))
