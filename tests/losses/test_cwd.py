from __future__ import annotations

import math

import pytest
import torch

from stillroom.errors import StillroomError
from stillroom.losses import CWD, cwd, kl_divergence


def maps(seed: int = 0, std: float = 3.0) -> torch.Tensor:
    return std * torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_by_hand() -> None:
    """Positions as 1 : 1 for the student, and as 4 : 1 for the teacher, 2 : 1 at tau 2."""
    student, teacher = torch.zeros(1, 1, 1, 2), torch.tensor([[[[math.log(4.0), 0.0]]]])
    by_hand = 0.8 * math.log(0.8 / 0.5) + 0.2 * math.log(0.2 / 0.5)
    softer = 2 / 3 * math.log(2 / 3 / 0.5) + 1 / 3 * math.log(1 / 3 / 0.5)
    assert float(CWD()(student, teacher)) == pytest.approx(by_hand, rel=1e-5)
    assert float(CWD(tau=2.0)(student, teacher)) == pytest.approx(4 * softer, rel=1e-5)


def test_mean_over_samples_and_channels_and_not_over_positions() -> None:
    student, teacher = maps(), maps(1)
    each = [
        kl_divergence(student[n, c].reshape(1, -1), teacher[n, c].reshape(1, -1)) for n in (0, 1) for c in (0, 1, 2)
    ]
    assert float(CWD()(student, teacher)) == pytest.approx(float(sum(each)) / 6)


def test_high_temperature_matches_the_maps() -> None:
    """PaddleDetection's, without tau², would go to 0."""
    student, teacher = maps(std=1.0), maps(1, std=1.0)
    half_variance = (student - teacher).flatten(2).var(dim=2, correction=0).mean() / 2
    assert float(CWD(tau=1e4)(student, teacher)) == pytest.approx(float(half_variance), rel=1e-3)


def test_zero_at_equality_where_an_eps_in_the_logs_or_a_cross_entropy_would_not_be() -> None:
    teacher = maps()
    assert float(CWD()(teacher, teacher)) == 0.0


def test_saturated_channels_are_finite() -> None:
    """TorchDistiller takes the log of a softmax: minus infinity."""
    student = torch.tensor([[[[1e4, -1e4]]]], requires_grad=True)
    value = CWD()(student, torch.tensor([[[[-1e4, 1e4]]]]))
    value.backward()
    assert value.item() == pytest.approx(2e4)
    torch.testing.assert_close(student.grad, torch.tensor([[[[1.0, -1.0]]]]))


def test_map_that_is_not_contiguous_is_taken() -> None:
    """mmrazor's view fails."""
    student, teacher = maps(), maps(1)
    last = student.to(memory_format=torch.channels_last)
    torch.testing.assert_close(cwd(last, teacher.mT.contiguous().mT), cwd(student, teacher))


def test_tau_of_zero_is_refused() -> None:
    with pytest.raises(StillroomError, match=r"^tau is no temperature; expected tau > 0 and finite, got 0\.$"):
        CWD(tau=0)


def test_other_channels_are_refused() -> None:
    with pytest.raises(
        StillroomError,
        match=r"^student and teacher differ in shape; expected equal shapes, "
        r"got student \(2, 3, 4, 5\) and teacher \(2, 1, 4, 5\)\. A connector can adapt the student to the teacher\.$",
    ):
        CWD()(maps(), maps()[:, :1])
