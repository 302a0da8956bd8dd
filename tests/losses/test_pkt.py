from __future__ import annotations

import math

import pytest
import torch

from stillroom.errors import StillroomError
from stillroom.losses import PKT, pkt


def test_by_hand() -> None:
    """Orthogonal samples against parallel ones: rows (2/3, 1/3), (1/3, 2/3) against halves."""
    student, teacher = torch.tensor([[1.0, 0.0], [0.0, 2.0]]), torch.tensor([[3.0], [5.0]])
    per_row = 0.5 * math.log(0.5 / (2 / 3)) + 0.5 * math.log(0.5 / (1 / 3))
    assert float(PKT()(student, teacher)) == pytest.approx(2 * per_row / 4, rel=1e-5)


def test_mean_over_all_pairs_and_not_over_samples() -> None:
    """Each sample twice: four times the pairs, each with half of the probability."""
    student, teacher = torch.randn(2, 3, 4, dtype=torch.float64)
    once, twice = pkt(student, teacher), pkt(student.repeat(2, 1), teacher.repeat(2, 1))
    assert float(once / twice) == pytest.approx(2, rel=1e-5)


def test_opposite_samples_are_finite() -> None:
    """Their cosine rounds to below −1: with 1e-7 added, the probability would still be negative."""
    x = torch.randn(1, 2048, generator=torch.Generator().manual_seed(0))
    student = torch.cat([x, -x, 3 * x, -7 * x]).requires_grad_()
    value = PKT()(student, torch.randn(4, 5))
    value.backward()
    assert torch.isfinite(value)
    assert student.grad is not None
    assert torch.isfinite(student.grad).all()


def test_single_sample_gives_zero() -> None:
    for student in (torch.ones(1, 3), torch.zeros(1, 3)):
        student.requires_grad_()
        value = PKT()(student, torch.tensor([[1.0, 2.0]]))
        value.backward()
        assert value.item() == 0
        assert student.grad is not None
        assert not student.grad.any()


def test_zero_vector_has_no_direction() -> None:
    """RepDistiller overwrites its nan in place, which autograd and compilers cannot follow."""
    student = torch.tensor([[0.0, 0.0], [1.0, 0.0]], requires_grad=True)
    value = pkt(student, torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
    value.backward()
    assert value.item() == pytest.approx(
        (2 * 0.5 * 0 + (2 / 3) * math.log(4 / 3) + (1 / 3) * math.log(2 / 3)) / 4, rel=1e-4
    )
    assert torch.isfinite(student.grad).all()


@pytest.mark.parametrize("eps", [0, -1e-7, float("nan")])
def test_eps_that_is_not_positive_is_refused(eps: float) -> None:
    with pytest.raises(
        StillroomError, match=rf"^eps cannot keep a logarithm finite; expected eps > 0 .*, got {eps}\.$"
    ):
        PKT(eps=eps)


def test_other_batch_is_refused() -> None:
    with pytest.raises(
        StillroomError,
        match=r"^student and teacher differ in shape; expected the same N, "
        r"got student \(4, 8\) and teacher \(3, 8\)\. Both sides must come from the same batch\.$",
    ):
        PKT()(torch.zeros(4, 8), torch.zeros(3, 8))
