from __future__ import annotations

import math

import pytest
import torch

from stillroom.errors import StillroomError
from stillroom.losses import CurriculumTemperature, kl_divergence


def rows() -> tuple[torch.Tensor, torch.Tensor]:
    student, teacher = 3 * torch.randn(2, 6, 10, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return student, teacher


def test_is_the_divergence_at_its_temperature() -> None:
    loss = CurriculumTemperature()
    temperature = 1 + 20 / (1 + math.exp(-1))
    assert loss.temperature.item() == pytest.approx(temperature, rel=1e-6)
    assert loss(*rows()).item() == pytest.approx(kl_divergence(*rows(), tau=temperature).item(), rel=1e-6)


def slope(loss: CurriculumTemperature) -> float:
    (gradient,) = torch.autograd.grad(loss(*rows()), loss.parameters())
    return float(gradient)


def test_gradient_of_the_temperature_is_reversed() -> None:
    """Also through the factor T²."""
    loss = CurriculumTemperature(start=2.0, end=3.0).double()
    ahead, behind = (float(kl_divergence(*rows(), tau=2 + 3 / (1 + math.exp(-(1 + step))))) for step in (1e-5, -1e-5))
    assert slope(loss) == pytest.approx(-(ahead - behind) / 2e-5, rel=1e-6)


def test_step_of_the_optimizer_raises_the_loss() -> None:
    loss = CurriculumTemperature().double()
    before = loss(*rows())
    before.backward()
    torch.optim.SGD(loss.parameters(), lr=0.1).step()
    assert loss(*rows()).item() > before.item()


@pytest.mark.parametrize("strength", [0.0, 0.25])
def test_strength_scales_the_reversal_and_leaves_the_value(strength: float) -> None:
    loss, full = CurriculumTemperature().double(), CurriculumTemperature().double()
    loss.strength.fill_(strength)
    assert torch.equal(loss(*rows()), full(*rows()))
    assert slope(loss) == pytest.approx(strength * slope(full))


def strengths(loss: CurriculumTemperature, steps: int) -> list[float]:
    found: list[float] = []
    for _ in range(steps):
        loss(*rows())
        found.append(loss.strength.item())
    return found


def test_strength_grows_over_the_warm_up_and_stays() -> None:
    grown = strengths(CurriculumTemperature(warmup_steps=4), 7)
    assert grown == pytest.approx([0, (1 - math.sqrt(0.5)) / 2, 0.5, (1 + math.sqrt(0.5)) / 2, 1, 1, 1], abs=1e-6)
    assert strengths(CurriculumTemperature(), 2) == [1, 1]


def test_slope_has_the_strength_of_its_own_step() -> None:
    """Also where the backward comes after the next forward pass."""
    loss, full = CurriculumTemperature(warmup_steps=2).double(), CurriculumTemperature().double()
    values = [loss(*rows()) for _ in range(3)]
    slopes = [float(torch.autograd.grad(value, loss.theta)[0]) for value in values]
    assert slopes == pytest.approx([0, slope(full) / 2, slope(full)])
    assert len({value.item() for value in values}) == 1


def test_eval_mode_does_not_count() -> None:
    loss = CurriculumTemperature(warmup_steps=4)
    before = strengths(loss, 2)
    assert strengths(loss.eval(), 3) == [before[-1]] * 3
    assert loss.step.item() == 2


def test_warm_up_continues_where_it_was_saved() -> None:
    loss, other = CurriculumTemperature(warmup_steps=5), CurriculumTemperature(warmup_steps=5)
    strengths(loss, 2)
    other.load_state_dict(loss.state_dict())
    assert strengths(other, 3) == strengths(loss, 3)


@pytest.mark.parametrize("bad", [-1, math.inf])
def test_warm_up_cannot_be_negative_or_endless(bad: float) -> None:
    with pytest.raises(StillroomError, match=rf"^no such warm-up; expected warmup_steps >= 0 and finite, got {bad}\.$"):
        CurriculumTemperature(warmup_steps=bad)


def test_student_and_teacher_are_not_reversed() -> None:
    student, teacher = (x.requires_grad_() for x in rows())
    loss = CurriculumTemperature().double()
    loss(student, teacher).backward()
    expected = torch.autograd.grad(kl_divergence(student, teacher, tau=loss.temperature.item()), student)[0]
    torch.testing.assert_close(student.grad, expected)
    assert teacher.grad is None


def test_one_parameter_of_one_element_that_is_saved_with_its_strength() -> None:
    loss, other = CurriculumTemperature(), CurriculumTemperature()
    assert [parameter.numel() for parameter in loss.parameters()] == [1]
    assert loss.state_dict().keys() == {"theta", "strength", "step"}
    with torch.no_grad():
        loss.theta.fill_(0.25)
        loss.strength.fill_(0.5)
    other.load_state_dict(loss.state_dict())
    assert torch.equal(other.temperature, loss.temperature)
    assert slope(other) == slope(loss) != slope(CurriculumTemperature())


@pytest.mark.parametrize("name", ["start", "end"])
@pytest.mark.parametrize("bad", [0, -1.0, math.inf])
def test_range_must_be_positive(name: str, bad: float) -> None:
    with pytest.raises(
        StillroomError, match=rf"^{name} is no temperature; expected {name} > 0 and finite, got {bad}\.$"
    ):
        CurriculumTemperature(**{name: bad})


def test_other_number_of_classes_is_refused() -> None:
    with pytest.raises(StillroomError, match=r"got student \(2, 5\) and teacher \(2, 4\)\."):
        CurriculumTemperature()(torch.zeros(2, 5), torch.zeros(2, 4))
