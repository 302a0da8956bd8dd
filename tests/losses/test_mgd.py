from __future__ import annotations

import pytest
import torch

from stillroom.errors import StillroomError
from stillroom.losses import MGD, mgd


def test_sum_over_elements_and_mean_over_samples() -> None:
    student, teacher = torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([[0.0, 0.0], [0.0, 2.0]])
    assert float(MGD()(student, teacher)) == 18 / 2


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (3, 5, 7, 11), (2, 257, 3, 1)])
def test_any_size(shape: tuple[int, ...]) -> None:
    """PaddleDetection's port has sizes written into it."""
    student = torch.ones(shape)
    assert float(mgd(student, -student)) == pytest.approx(4 * student[0].numel())


def test_nothing_is_broadcast() -> None:
    with pytest.raises(StillroomError, match=r"got student \(2, 3, 1, 1\) and teacher \(2, 3, 4, 4\)\. A connector"):
        MGD()(torch.zeros(2, 3, 1, 1), torch.zeros(2, 3, 4, 4))
