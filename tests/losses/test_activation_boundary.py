from __future__ import annotations

from typing import Any

import pytest
import torch

from stillroom.errors import StillroomError
from stillroom.losses import ActivationBoundary, activation_boundary


@pytest.mark.parametrize(
    ("student", "teacher", "square"),
    [
        (0.5, 2.0, 0.25),  # active, but within the margin
        (1.5, 2.0, 0.0),  # active and clear of it
        (-3.0, 0.1, 16.0),  # silent where the teacher is active
        (0.5, -2.0, 2.25),
        (-0.5, -2.0, 0.25),
        (-1.5, -2.0, 0.0),
        (0.0, 0.0, 1.0),  # a teacher at 0 is silent
    ],
)
def test_each_case_by_hand(student: float, teacher: float, square: float) -> None:
    value = ActivationBoundary()(torch.tensor([[student]]), torch.tensor([[teacher]]))
    assert float(value) == pytest.approx(3 / 1000 * square)


def test_sum_over_elements_and_mean_over_samples() -> None:
    student, teacher = torch.zeros(2, 4, 3, 3), torch.ones(2, 4, 3, 3)
    assert float(ActivationBoundary()(student, teacher)) == pytest.approx(3 / 1000 * 4 * 9)


def test_only_the_teachers_signs_matter() -> None:
    student, teacher = torch.randn(2, 3, 5, generator=torch.Generator().manual_seed(0))
    assert torch.equal(activation_boundary(student, teacher), activation_boundary(student, teacher.sign() * 100))


def test_margin_moves_the_boundary() -> None:
    student, teacher = torch.tensor([[0.5]]), torch.tensor([[1.0]])
    assert float(ActivationBoundary(margin=0.5)(student, teacher)) == 0
    assert float(ActivationBoundary(margin=0)(-student, teacher)) == pytest.approx(3 / 1000 * 0.25)


@pytest.mark.parametrize("margin", [-0.5, float("nan"), float("inf")])
def test_margin_that_is_none_is_refused(margin: Any) -> None:
    with pytest.raises(
        StillroomError,
        match=rf"^margin is no distance from the boundary; expected margin >= 0 and finite, got {margin}\.$",
    ):
        ActivationBoundary(margin=margin)


def test_other_shape_is_refused() -> None:
    with pytest.raises(StillroomError, match=r"got student \(2, 3, 1, 1\) and teacher \(2, 3, 4, 4\)\. A connector"):
        ActivationBoundary()(torch.zeros(2, 3, 1, 1), torch.zeros(2, 3, 4, 4))
