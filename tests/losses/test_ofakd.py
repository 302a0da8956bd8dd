from __future__ import annotations

import math

import pytest
import torch

from stillroom.errors import StillroomError
from stillroom.losses import OFAKD, ofakd, soft_label


def batch() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    student, teacher = 3 * torch.randn(2, 6, 10, generator=generator, dtype=torch.float64)
    return student, teacher, torch.randint(10, (6,), generator=generator)


def test_at_eps_1_it_is_the_soft_label_whatever_the_label() -> None:
    student, teacher, labels = batch()
    expected = float(soft_label(student, teacher))
    for given in (labels, (labels + 1) % 10):
        assert float(OFAKD()(student, teacher, labels=given)) == pytest.approx(expected, rel=1e-12)


def test_at_eps_2_the_label_counts_twice_its_probability_more() -> None:
    """``(p + 1)² − 1 = p² + 2p`` for the label, ``p²`` for the others."""
    student, teacher, labels = batch()
    p, log_q = teacher.softmax(1), student.log_softmax(1)
    of_labels = (torch.arange(6), labels)
    expected = -((p**2 * log_q).sum(1) + 2 * p[of_labels] * log_q[of_labels]).mean()
    assert float(OFAKD(eps=2.0)(student, teacher, labels=labels)) == pytest.approx(float(expected), rel=1e-12)


@pytest.mark.parametrize("eps", [0.5, 1.0, 1.5])
def test_certain_and_wrong_is_finite_on_both_sides(eps: float) -> None:
    """The slope of ``p^eps`` at 0 is infinite for an eps below 1, but not by the teacher's logits."""
    student, teacher = torch.tensor([[1e4, -1e4]]).requires_grad_(), torch.tensor([[-1e4, 1e4]]).requires_grad_()
    value = ofakd(student, teacher, labels=torch.tensor([0]), eps=eps)
    value.backward()
    assert float(value.detach()) == pytest.approx(2e4)
    torch.testing.assert_close(student.grad, torch.tensor([[1.0, -1.0]]))
    assert bool(torch.isfinite(teacher.grad).all())


def test_tiny_probability_of_the_label_is_not_rounded_away() -> None:
    """In float32 ``(1 + 1e-9)^1.5 − 1`` is 0."""
    student, teacher = torch.tensor([[-100.0, 0.0]]), torch.tensor([[math.log(1e-9), 0.0]])
    value = ofakd(student, teacher, labels=torch.tensor([0]), eps=1.5)
    assert float(value) == pytest.approx(100 * 1.5e-9, rel=1e-4)


@pytest.mark.parametrize("eps", [0.0, -1.0, math.inf, math.nan])
def test_eps_must_be_positive(eps: float) -> None:
    message = rf"^eps is no power for probabilities; expected eps > 0 and finite, got {eps}\.$"
    with pytest.raises(StillroomError, match=message):
        OFAKD(eps=eps)
