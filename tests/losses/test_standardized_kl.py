from __future__ import annotations

import pytest
import torch

from stillroom.errors import StillroomError
from stillroom.losses import StandardizedKL, kl_divergence, standardized_kl


def rows(n: int = 6, c: int = 10) -> tuple[torch.Tensor, torch.Tensor]:
    student, teacher = 3 * torch.randn(2, n, c, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return student, teacher


def test_by_hand() -> None:
    """−1, 0, 1 has the unbiased deviation 1 and is its own standard form; 0, 0, 3 becomes (−1, −1, 2) / √3."""
    student, teacher = torch.tensor([[-1.0, 0.0, 1.0]]).double(), torch.tensor([[0.0, 0.0, 3.0]]).double()
    expected = kl_divergence(student, torch.tensor([[-1.0, -1.0, 2.0]]).double() / 3**0.5, tau=2.0)
    assert float(StandardizedKL()(student, teacher)) == pytest.approx(float(expected), rel=1e-6)


def test_scale_and_shift_of_each_sample_do_not_matter() -> None:
    student, teacher = rows()
    factors, shifts = torch.rand(2, 6, 1, dtype=torch.float64) + 0.5
    moved = standardized_kl(student * factors + shifts, teacher * 100 - 3)
    assert float(moved) == pytest.approx(float(standardized_kl(student, teacher)), rel=1e-6)
    assert float(standardized_kl(5 * teacher + 1, teacher)) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("tau", [0.5, 2.0, 4.0])
def test_factor_of_the_temperature_is_there(tau: float) -> None:
    """torchdistill's loses it where its other weight is 0."""
    student, teacher = rows()
    s, t = ((x - x.mean(1, keepdim=True)) / x.std(1, keepdim=True) for x in (student, teacher))
    plain = torch.nn.functional.kl_div((s / tau).log_softmax(1), (t / tau).softmax(1), reduction="batchmean")
    assert float(StandardizedKL(tau=tau)(student, teacher)) == pytest.approx(tau**2 * float(plain), rel=1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32], ids=str)
@pytest.mark.parametrize("level", [0.0, 0.1, 1e4])
def test_constant_student_gets_a_gradient_of_usual_size(level: float, dtype: torch.dtype) -> None:
    """A new classifier that starts at 0: divided by 1e-7, its first step would be its last."""
    student = torch.full((2, 7), level, dtype=dtype, requires_grad=True)
    value = StandardizedKL()(student, rows(2, 7)[1])
    value.backward()
    assert 0 < float(student.grad.abs().max()) < 1
    uniform = StandardizedKL()(torch.zeros(2, 7), rows(2, 7)[1])
    assert float(value.detach()) == pytest.approx(float(uniform), rel=1e-3)


def test_single_class_is_refused() -> None:
    with pytest.raises(
        StillroomError, match=r"^one class has no other to compare with; expected C >= 2, got \(4, 1\)\.$"
    ):
        StandardizedKL()(torch.zeros(4, 1), torch.zeros(4, 1))


def test_maps_are_refused() -> None:
    with pytest.raises(
        StillroomError, match=r"^wrong number of axes; expected logits \(N, C\), got student \(2, 3, 4, 4\)"
    ):
        StandardizedKL()(torch.zeros(2, 3, 4, 4), torch.zeros(2, 3, 4, 4))
