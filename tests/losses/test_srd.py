from __future__ import annotations

import math

import pytest
import torch

from stillroom.errors import StillroomError
from stillroom.losses import SRD, srd


def vectors(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_by_hand() -> None:
    """Two samples are standardised to ±1, but for the eps; the second column agrees, the first does not."""
    student = torch.tensor([[500.0, 7.0], [-500.0, -900.0]])
    teacher = torch.tensor([[100.0, 100.0], [300.0, -900.0]])
    assert float(SRD()(student, teacher)) == pytest.approx(2 * math.log(2 * 2**4), rel=1e-4)
    assert float(SRD(exponent=2)(student, teacher)) == pytest.approx(2 * math.log(2 * 2**2), rel=1e-4)


def test_equality_is_finite_and_flat() -> None:
    """The logarithm of 0 is minus infinity."""
    student = vectors(4, 5).requires_grad_()
    value = SRD()(student, student.detach())
    value.backward()
    assert value.item() == pytest.approx(2 * math.log(1e-12))
    assert student.grad is not None
    assert not student.grad.any()


def test_mean_and_size_of_a_feature_are_free() -> None:
    student, teacher = vectors(8, 5), vectors(8, 5, seed=1)
    moved = 3 + torch.tensor([0.5, 1.0, 2.0, 50.0, 100.0]) * student
    assert float(srd(moved, teacher)) == pytest.approx(float(srd(student, teacher)), rel=1e-3)


def test_whole_batch_is_in_one_logarithm() -> None:
    """Each sample twice doubles the sum: 2 log 2 more."""
    student, teacher = vectors(8, 5), vectors(8, 5, seed=1)
    twice = srd(student.repeat(2, 1), teacher.repeat(2, 1))
    assert float(twice - srd(student, teacher)) == pytest.approx(2 * math.log(2))


@pytest.mark.parametrize("width", [1, 7, 512, 513])
def test_any_width_and_no_state(width: int) -> None:
    """The authors write 512 into their code."""
    loss = SRD()
    assert torch.isfinite(loss(vectors(4, width), vectors(4, width, seed=1)))
    assert not loss.state_dict()


def test_training_or_not_it_is_the_statistics_of_the_batch() -> None:
    student, teacher = vectors(8, 5), vectors(8, 5, seed=1)
    assert torch.equal(SRD().eval()(student, teacher), SRD().train()(student, teacher))


def test_batch_of_one_is_refused() -> None:
    with pytest.raises(
        StillroomError,
        match=r"^a batch of one has no statistics; expected N >= 2, got \(1, 8\)\. Drop the last batch",
    ):
        SRD()(vectors(1, 8), vectors(1, 8))


def test_exponent_below_one_is_refused() -> None:
    with pytest.raises(
        StillroomError, match=r"^exponent is no power for an error; expected exponent >= 1 and finite, got 0\.5\.$"
    ):
        SRD(exponent=0.5)


def test_maps_are_refused() -> None:
    with pytest.raises(
        StillroomError, match=r"^wrong number of axes; expected vectors \(N, D\), got student \(2, 8, 1, 1\)"
    ):
        SRD()(torch.zeros(2, 8, 1, 1), torch.zeros(2, 8, 1, 1))
