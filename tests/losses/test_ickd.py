from __future__ import annotations

import pytest
import torch

from stillroom.errors import StillroomError
from stillroom.losses import ICKD, ickd


def maps(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_by_hand() -> None:
    """Orthogonal channels, rows (1, 0) and (0, 1), against equal ones, rows (1, 1) / √2."""
    student, teacher = torch.tensor([[[[3.0, 0.0]], [[0.0, 2.0]]]]), torch.ones(1, 2, 1, 2)
    half = 0.5**0.5
    assert float(ICKD()(student, teacher)) == pytest.approx(2 * ((1 - half) ** 2 + half**2) / 2)


def test_batch_counts_twice_in_the_denominator() -> None:
    """The authors' CIFAR code divides by C · N: a weight of 2.5 there is one of 2.5 · N here."""
    student, teacher = maps(4, 3, 2, 2), maps(4, 3, 2, 2, seed=1)
    doubled = ickd(torch.cat((student, student)), torch.cat((teacher, teacher)))
    assert float(ickd(student, teacher) / doubled) == pytest.approx(2, rel=1e-5)
    cifar = sum(ickd(student[i : i + 1], teacher[i : i + 1]) for i in range(4)) / 4
    assert float(cifar) == pytest.approx(4 * float(ickd(student, teacher)), rel=1e-5)


def test_dead_channel_has_a_moderate_gradient() -> None:
    student = maps(2, 3, 4, 4)
    student[:, 1] = 0
    student.requires_grad_()
    ickd(student, maps(2, 3, 4, 4, seed=1)).backward()
    assert student.grad is not None
    assert float(student.grad.abs().max()) < 10


@pytest.mark.parametrize("shape", [(2, 4, 4, 4), (2, 3, 4, 2)])
def test_other_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(StillroomError, match=r"expected equal shapes, got student \(2, 3, 4, 4\) and teacher \(2, "):
        ICKD()(maps(2, 3, 4, 4), maps(*shape))
