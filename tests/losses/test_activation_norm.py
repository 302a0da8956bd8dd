from __future__ import annotations

import pytest
import torch
from torch import nn

from stillroom.errors import StillroomError
from stillroom.losses import ActivationNorm


@pytest.mark.parametrize("shape", [(3, 7), (2, 3, 4, 5)])
def test_is_the_negative_mean_of_absolute_values(shape: tuple[int, ...]) -> None:
    features = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert float(ActivationNorm()(features)) == pytest.approx(
        -sum(map(abs, features.flatten().tolist())) / features.numel()
    )


def test_gradient_reaches_the_generator_through_a_frozen_teacher() -> None:
    generator, teacher = nn.Linear(3, 4), nn.Linear(4, 5).requires_grad_(False)
    ActivationNorm()(teacher(generator(torch.ones(2, 3)))).backward()
    assert bool(generator.weight.grad.any())
    assert teacher.weight.grad is None


def test_large_half_precision_features_do_not_overflow() -> None:
    assert float(ActivationNorm()(torch.full((64, 64), 6e4, dtype=torch.float16))) == pytest.approx(-6e4, rel=1e-3)


def test_anything_but_features_is_refused() -> None:
    with pytest.raises(StillroomError, match=r"^wrong number of axes; expected features .* got \(3,\)\.$"):
        ActivationNorm()(torch.zeros(3))
    with pytest.raises(StillroomError, match=r"^the input must be a tensor; expected features .* got list of 1\.$"):
        ActivationNorm()([torch.zeros(2, 3)])
