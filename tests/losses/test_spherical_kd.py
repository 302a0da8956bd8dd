from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from stillroom.errors import StillroomError
from stillroom.losses import SphericalKD, spherical_kd


def rows() -> tuple[torch.Tensor, torch.Tensor]:
    student, teacher = 3 * torch.randn(2, 6, 10, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return student, teacher


def test_how_sure_the_student_is_does_not_matter() -> None:
    student, teacher = rows()
    factors = torch.rand(6, 1, dtype=torch.float64) * 10 + 0.1
    value = spherical_kd(student, teacher)
    assert float(spherical_kd(student * factors - 4, teacher)) == pytest.approx(float(value), rel=1e-5)


def test_multiplier_is_for_both_sides_and_the_teachers_own_without_one() -> None:
    student, teacher = rows()
    unit_s, unit_t = (
        x.sub(x.mean(1, keepdim=True)).div(x.std(1, keepdim=True, correction=0)) for x in (student, teacher)
    )
    for multiplier in (0.5, 2.5):
        expected = F.cross_entropy(unit_s * multiplier, (unit_t * multiplier).softmax(1))
        value = SphericalKD(multiplier=multiplier)(student, teacher)
        assert float(value) == pytest.approx(float(expected), rel=1e-6)
    scale = teacher.std(1, keepdim=True)
    expected = F.cross_entropy(unit_s * scale, (unit_t * scale).softmax(1))
    assert float(SphericalKD()(student, teacher)) == pytest.approx(float(expected), rel=1e-6)


def test_at_equality_it_is_the_entropy_of_the_teacher() -> None:
    teacher = rows()[1]
    softened = (teacher - teacher.mean(1, keepdim=True)) * math.sqrt(10 / 9)  # unbiased over biased deviation
    entropy = torch.distributions.Categorical(logits=softened).entropy().mean()
    assert float(SphericalKD()(teacher, teacher)) == pytest.approx(float(entropy), rel=1e-6)


def test_constant_sides_are_uniform() -> None:
    student = torch.full((2, 4), 3.0, requires_grad=True)
    value = SphericalKD()(student, torch.full((2, 4), -1.0))
    value.backward()
    assert float(value.detach()) == pytest.approx(math.log(4))
    assert not student.grad.any()


@pytest.mark.parametrize("level", [0.0, 0.1, 1e4])
def test_constant_student_gets_a_gradient_of_usual_size(level: float) -> None:
    """Divided by the root of the eps, it would overflow in half precision, where the teacher's logits are large."""
    student = torch.full((6, 10), level, dtype=torch.float16, requires_grad=True)
    SphericalKD()(student, 30 * rows()[1]).backward()
    assert 0 < float(student.grad.abs().max()) < 100


@pytest.mark.parametrize("multiplier", [0.0, -1.0, math.inf, math.nan])
def test_multiplier_must_be_positive(multiplier: float) -> None:
    message = rf"^multiplier cannot scale logits; expected multiplier > 0 and finite, or None, got {multiplier}\.$"
    with pytest.raises(StillroomError, match=message):
        SphericalKD(multiplier=multiplier)


def test_single_class_is_refused() -> None:
    with pytest.raises(
        StillroomError, match=r"^one class has no other to compare with; expected C >= 2, got \(2, 1\)\.$"
    ):
        SphericalKD()(torch.zeros(2, 1), torch.zeros(2, 1))
