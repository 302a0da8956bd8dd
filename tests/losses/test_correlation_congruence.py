from __future__ import annotations

import pytest
import torch

from stillroom.errors import StillroomError
from stillroom.losses import CorrelationCongruence, correlation_congruence


def test_by_hand() -> None:
    student, teacher = (
        torch.tensor([[1.0, 0.0], [2.0, -1.0], [0.0, 3.0]]),
        torch.tensor([[0.0, 2.0], [0.0, 0.0], [0.0, 0.0]]),
    )
    assert float(CorrelationCongruence()(student, teacher)) == ((1 * 2 + 2 * 1) + (2 * 0 + 1 * 3)) / 2


def test_order_of_the_batch_matters() -> None:
    student, teacher = torch.tensor([[1.0], [0.0], [1.0]]), torch.zeros(3, 1)
    assert float(correlation_congruence(student, teacher)) == 0
    assert float(correlation_congruence(student.sort(dim=0).values, teacher)) == 0.5


def test_single_sample_gives_zero() -> None:
    """The mean over no pairs is nan."""
    student = torch.randn(1, 8, requires_grad=True)
    value = CorrelationCongruence()(student, torch.randn(1, 8))
    value.backward()
    assert value.item() == 0
    assert student.grad is not None
    assert not student.grad.any()


def test_maps_are_refused() -> None:
    with pytest.raises(
        StillroomError, match=r"^wrong number of axes; expected vectors \(N, D\), got student \(2, 3, 4, 4\)"
    ):
        CorrelationCongruence()(torch.zeros(2, 3, 4, 4), torch.zeros(2, 3, 4, 4))


def test_other_width_is_refused() -> None:
    with pytest.raises(StillroomError, match=r"got student \(2, 8\) and teacher \(2, 1\)\. A connector"):
        CorrelationCongruence()(torch.zeros(2, 8), torch.zeros(2, 1))
