from __future__ import annotations

from typing import Any

import pytest
import torch

from stillroom.errors import StillroomError
from stillroom.losses import MultiLevelKD, kl_divergence, multi_level_kd


def rows(n: int = 6, c: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    student, teacher = 2 * torch.randn(2, n, c, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return student, teacher


def test_temperatures_add_up() -> None:
    student, teacher = rows()
    each = [float(multi_level_kd(student, teacher, taus=(tau,))) for tau in (2, 3, 4, 5, 6)]
    assert float(MultiLevelKD()(student, teacher)) == pytest.approx(sum(each), rel=1e-12)
    assert len(set(each)) == 5


@pytest.mark.parametrize("shape", [(6, 4), (3, 11), (1, 5)])
def test_all_three_parts_are_there(shape: tuple[int, int]) -> None:
    """The authors' code computes relations that it never returns."""
    student, teacher = rows(*shape)
    p, q = (teacher / 3).softmax(1), (student / 3).softmax(1)
    between_classes = (p.T @ p - q.T @ q).norm() ** 2 / shape[1]
    between_samples = (p @ p.T - q @ q.T).norm() ** 2 / shape[0]
    expected = kl_divergence(student, teacher, tau=3.0) + between_classes + between_samples
    assert float(MultiLevelKD(taus=(3.0,))(student, teacher)) == pytest.approx(float(expected), rel=1e-12)


def test_every_sample_gets_a_gradient() -> None:
    """No mask of unsure samples: the authors' is applied after the mean, and only scales it."""
    student, teacher = rows()
    student.requires_grad_()
    MultiLevelKD()(student, teacher).backward()
    assert bool((student.grad.abs().amax(1) > 1e-3).all())


@pytest.mark.parametrize(
    ("taus", "message"),
    [
        ((), r"^taus is empty; expected one temperature or more, got \(\)\.$"),
        ((2.0, 0.0), r"^taus\[1\] is no temperature; expected taus\[1\] > 0 and finite, got 0\.0\.$"),
        ([-3], r"^taus\[0\] is no temperature; expected taus\[0\] > 0 and finite, got -3\.$"),
    ],
)
def test_taus_that_are_refused(taus: Any, message: str) -> None:
    with pytest.raises(StillroomError, match=message):
        MultiLevelKD(taus=taus)
    with pytest.raises(StillroomError, match=message):
        multi_level_kd(*rows(), taus=taus)
