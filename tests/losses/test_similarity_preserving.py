from __future__ import annotations

import pytest
import torch

from stillroom.errors import StillroomError
from stillroom.losses import SimilarityPreserving, similarity_preserving


def test_by_hand() -> None:
    """Orthogonal samples, rows (1, 0) and (0, 1), against parallel ones, rows (1, 2) / √5."""
    student, teacher = torch.tensor([[3.0, 0.0], [0.0, 4.0]]), torch.tensor([[1.0], [2.0]])
    a, b = 1 / 5**0.5, 2 / 5**0.5
    expected = ((1 - a) ** 2 + b**2 + a**2 + (1 - b) ** 2) / 4
    assert float(SimilarityPreserving()(student, teacher)) == pytest.approx(expected)


def test_sides_have_only_the_batch_in_common() -> None:
    student = torch.randn(4, 3, 5, 6)
    assert float(similarity_preserving(student, student.flatten(1))) == 0
    assert float(similarity_preserving(student, torch.randn(4, 7))) > 0


def test_single_sample_gives_zero() -> None:
    student = torch.randn(1, 3, 4, 4, requires_grad=True)
    value = SimilarityPreserving()(student, torch.randn(1, 5))
    value.backward()
    assert value.item() == pytest.approx(0, abs=1e-12)
    assert student.grad is not None
    assert float(student.grad.abs().max()) < 1e-6


def test_dead_sample_has_a_moderate_gradient() -> None:
    """Its row of G is 0: divided by 1e-12, it would have a gradient of 1e12."""
    student = torch.randn(4, 8)
    student[1] = 0
    student.requires_grad_()
    similarity_preserving(student, torch.randn(4, 8)).backward()
    assert student.grad is not None
    assert float(student.grad.abs().max()) < 10


def test_large_maps_do_not_overflow() -> None:
    student = torch.full((2, 512, 14, 14), 1e4)
    assert float(similarity_preserving(student, student)) == 0


def test_other_batch_is_refused() -> None:
    with pytest.raises(StillroomError, match=r"got student \(4, 8\) and teacher \(1, 8\)\. Both sides must come from"):
        SimilarityPreserving()(torch.zeros(4, 8), torch.zeros(1, 8))
