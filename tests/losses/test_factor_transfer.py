from __future__ import annotations

import pytest
import torch

from stillroom.errors import StillroomError
from stillroom.losses import FactorTransfer, factor_transfer


def test_by_hand() -> None:
    student, teacher = torch.tensor([[[[3.0]], [[4.0]]]]), torch.tensor([[[[0.0]], [[-2.0]]]])
    assert float(FactorTransfer()(student, teacher)) == pytest.approx((0.6 + 1.8) / 2)
    assert float(FactorTransfer(p=2)(student, teacher)) == pytest.approx((0.36 + 3.24) / 2)


def test_whole_factor_is_normalised_and_not_its_channel_mean() -> None:
    """RepDistiller compares the mean over channels of squares, for which these two would be equal."""
    student, teacher = torch.zeros(1, 2, 2, 2), torch.zeros(1, 2, 2, 2)
    student[:, 0], teacher[:, 1] = 1.0, 1.0
    assert float(factor_transfer(student, teacher)) == pytest.approx(0.5)


def test_value_shrinks_with_the_size_of_the_factor() -> None:
    student, teacher = torch.rand(2, 1, 3, 4, 4)
    repeated = (x.repeat(1, 1, 2, 2) for x in (student, teacher))
    assert float(factor_transfer(student, teacher) / factor_transfer(*repeated)) == pytest.approx(2, rel=1e-4)


@pytest.mark.parametrize("p", [1, 1.5, 2])
def test_dead_factor_gets_no_gradient(p: float) -> None:
    student = torch.zeros(2, 3, requires_grad=True)
    value = FactorTransfer(p=p)(student, torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 0.0]]))
    value.backward()
    assert value.item() == pytest.approx(1 / 6)
    assert student.grad is not None
    assert not student.grad.any()


@pytest.mark.parametrize("p", [0.5, float("nan"), float("inf")])
def test_power_that_is_none_is_refused(p: float) -> None:
    with pytest.raises(
        StillroomError, match=rf"^p is no power for a factor's error; expected p >= 1 and finite, got {p}\.$"
    ):
        FactorTransfer(p=p)


def test_other_factor_is_refused() -> None:
    with pytest.raises(StillroomError, match=r"got student \(2, 4, 3, 3\) and teacher \(2, 5, 3, 3\)\. A connector"):
        FactorTransfer()(torch.zeros(2, 4, 3, 3), torch.zeros(2, 5, 3, 3))
