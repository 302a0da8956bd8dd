from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from stillroom.errors import StillroomError
from stillroom.losses import SoftLabel, kl_divergence, soft_label


@pytest.fixture
def pair() -> tuple[torch.Tensor, torch.Tensor]:
    student, teacher = 3 * torch.randn(2, 6, 10, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return student, teacher


def test_is_the_divergence_and_the_teachers_entropy(pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    student, teacher = pair
    entropy = torch.distributions.Categorical(logits=teacher).entropy().mean()
    assert float(SoftLabel()(student, teacher)) == pytest.approx(float(kl_divergence(student, teacher) + entropy))
    assert float(SoftLabel()(teacher, teacher)) == pytest.approx(float(entropy))


def test_there_is_no_factor_of_the_temperature(pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    """mmrazor's KDSoftCELoss is tau² times this."""
    student, teacher = pair
    value = SoftLabel(teacher_temperature=4.0, student_temperature=4.0)(student, teacher)
    assert float(value) == pytest.approx(float(F.cross_entropy(student / 4, (teacher / 4).softmax(1))))


def test_each_temperature_softens_its_own_side(pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    student, teacher = pair
    value = soft_label(student, teacher, teacher_temperature=3.0, student_temperature=0.5)
    assert float(value) == pytest.approx(float(soft_label(student / 0.5, teacher / 3.0)))
    assert float(value) != pytest.approx(float(soft_label(student / 3.0, teacher / 0.5)))


def test_teacher_that_is_sure_gives_the_cross_entropy_to_its_class(pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    student, teacher = pair
    expected = F.cross_entropy(student, teacher.argmax(1))
    assert float(SoftLabel(teacher_temperature=1e-3)(student, teacher)) == pytest.approx(float(expected))


def test_gradient_is_the_difference_of_probabilities(pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    student, teacher = pair
    student.requires_grad_()
    SoftLabel()(student, teacher).backward()
    torch.testing.assert_close(student.grad, (student.softmax(1) - teacher.softmax(1)).detach() / len(student))


@pytest.mark.parametrize("name", ["teacher_temperature", "student_temperature"])
def test_temperature_of_zero_names_its_side(name: str) -> None:
    with pytest.raises(StillroomError, match=rf"^{name} is no temperature; expected {name} > 0 and finite, got 0\.$"):
        SoftLabel(**{name: 0})


def test_maps_are_refused() -> None:
    with pytest.raises(
        StillroomError, match=r"expected logits \(N, C\), got student \(2, 3, 4, 4\) and teacher \(2, 3, 4, 4\)\.$"
    ):
        SoftLabel()(torch.zeros(2, 3, 4, 4), torch.zeros(2, 3, 4, 4))
