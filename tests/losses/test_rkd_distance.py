from __future__ import annotations

import pytest
import torch

from stillroom.errors import StillroomError
from stillroom.losses import RKDDistance, rkd_distance
from stillroom.losses.rkd_distance import relative_distances


def test_by_hand() -> None:
    """Distances 3, 4, 5 of mean 4 against 1, 1, 2 of mean 4/3."""
    student, teacher = torch.tensor([[0.0, 0.0], [3.0, 0.0], [0.0, 4.0]]), torch.tensor([[1.0], [0.0], [2.0]])
    errors = (3 / 4 - 3 / 4, 4 / 4 - 3 / 4, 5 / 4 - 6 / 4)
    assert float(RKDDistance()(student, teacher)) == pytest.approx(2 * sum(e * e / 2 for e in errors) / 9)


def test_far_errors_count_linearly() -> None:
    """One sample far from the others, against one of equal distances."""
    student = torch.tensor([[0.0], [0.0], [0.0], [0.0], [9.0]])
    relative = relative_distances(student)
    assert relative.tolist() == [0, 0, 0, 1, 0, 0, 1, 0, 1, 1]
    tight = torch.tensor([[0.0], [0.1], [0.2], [0.3], [9.0]])
    assert float(relative_distances(tight).max()) > 2
    errors = (relative_distances(tight) - relative).abs()
    expected = 2 * torch.where(errors < 1, errors.square() / 2, errors - 0.5).sum() / 5**2
    torch.testing.assert_close(rkd_distance(tight, student), expected)


def test_mean_leaves_the_diagonal_out() -> None:
    """PaddleSlim divides by the mean over all N² entries: equal distances would become 1.5 for three samples."""
    equal = torch.eye(3)
    torch.testing.assert_close(relative_distances(equal), torch.ones(3))


def test_inputs_are_not_normalised_first() -> None:
    """mmrazor's are by default: there, samples of one direction are one point."""
    student = torch.tensor([[1.0, 0.0], [2.0, 0.0], [4.0, 0.0]])
    torch.testing.assert_close(relative_distances(student), torch.tensor([0.5, 1.5, 1.0]))


def test_small_distances_of_large_vectors_are_kept() -> None:
    """‖x‖² + ‖y‖² − 2 x·y is 0 or nonsense here in float32."""
    student = torch.tensor([[1000.0, 0.0], [1000.5, 0.0], [1000.0, 1.0]])
    torch.testing.assert_close(relative_distances(student), relative_distances(student - student[0]))


@pytest.mark.parametrize("samples", [1, 4])
def test_collapsed_batch_has_no_gradient(samples: int) -> None:
    """The mean of no positive distances is nan elsewhere."""
    student = torch.ones(samples, 3, requires_grad=True)
    value = RKDDistance()(student, torch.randn(samples, 5))
    value.backward()
    assert torch.isfinite(value)
    assert (value.item() == 0) == (samples == 1)
    assert student.grad is not None
    assert not student.grad.any()


def test_repeated_samples_have_a_moderate_gradient() -> None:
    student = torch.randn(3, 4).repeat(2, 1).requires_grad_()
    rkd_distance(student, torch.randn(6, 4)).backward()
    assert student.grad is not None
    assert float(student.grad.abs().max()) < 10


def test_other_batch_is_refused() -> None:
    with pytest.raises(StillroomError, match=r"expected the same N, got student \(4, 8\) and teacher \(3, 8\)\. Both"):
        RKDDistance()(torch.zeros(4, 8), torch.zeros(3, 8))
