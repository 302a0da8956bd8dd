from __future__ import annotations

import numpy as np
import pytest
import torch

from stillroom.errors import StillroomError
from stillroom.losses import DIST, dist
from stillroom.losses.dist import correlation


def rows(n: int = 6, c: int = 5, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    student, teacher = torch.randn(2, n, c, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return student, teacher


def test_correlation_is_that_of_numpy() -> None:
    a, b = rows()
    for dim, sides in ((1, zip(a, b, strict=True)), (0, zip(a.T, b.T, strict=True))):
        expected = [np.corrcoef(x.numpy(), y.numpy())[0, 1] for x, y in sides]
        torch.testing.assert_close(correlation(a, b, dim=dim).flatten(), torch.tensor(expected), rtol=1e-7, atol=0)


def test_is_zero_at_an_increasing_affine_map_of_the_probabilities() -> None:
    """Neither the scale nor the offset of the probabilities matters, in rows and in columns alike."""
    p = rows()[1].softmax(1)
    student = (0.3 * p + 0.7 / p.shape[1]).log()
    assert float(dist(student, p.log())) == pytest.approx(0, abs=1e-5)
    assert float(DIST(inter=2.0)(p.log(), p.log())) == pytest.approx(0, abs=1e-6)


def test_falls_as_the_student_comes_closer_and_is_largest_at_the_opposite() -> None:
    """A correlation that is added rather than taken from 1 would rise."""
    student, teacher = rows()
    values = [float(DIST()(student + step * (teacher - student), teacher)) for step in (0.0, 0.25, 0.5, 0.75, 1.0)]
    assert values == sorted(values, reverse=True)
    sure = torch.tensor([[20.0, 0.0], [0.0, 20.0]], dtype=torch.float64)
    assert float(DIST(tau=2.0, inter=3.0, intra=0.5)(-sure, sure)) == pytest.approx(4 * (3.0 + 0.5) * 2, rel=1e-5)


def test_parts_add_up_with_their_weights() -> None:
    student, teacher = rows()
    inter, intra = (float(dist(student, teacher, tau=4.0, inter=i, intra=1 - i)) for i in (1, 0))
    assert float(dist(student, teacher, tau=4.0, inter=0.5, intra=3.0)) == pytest.approx(0.5 * inter + 3.0 * intra)


def test_columns_run_over_the_batch() -> None:
    student, teacher = rows()
    p_s, p_t = student.softmax(1), teacher.softmax(1)
    expected = 1 - np.mean([np.corrcoef(p_s[:, c].numpy(), p_t[:, c].numpy())[0, 1] for c in range(5)])
    assert float(dist(student, teacher, inter=0.0)) == pytest.approx(expected, rel=1e-6)


def test_columns_of_one_sample_are_a_constant_without_a_gradient() -> None:
    student, teacher = (x[:1] for x in rows())
    student.requires_grad_()
    value = dist(student, teacher, tau=2.0, inter=0.0, intra=3.0)
    value.backward()
    assert value.item() == 4 * 3.0
    assert not student.grad.any()


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32], ids=str)
@pytest.mark.parametrize("level", [0.0, 0.1, 1e4])
def test_constant_student_gets_a_gradient_of_usual_size(level: float, dtype: torch.dtype) -> None:
    """A new classifier that starts at 0: with a norm of 0 in the divisor, its gradient would be 1e7."""
    student = torch.full((6, 5), level, dtype=dtype, requires_grad=True)
    value = DIST()(student, rows()[1])
    value.backward()
    assert value.item() == pytest.approx(2, abs=1e-5)
    assert 0 < float(student.grad.abs().max()) < 1


@pytest.mark.parametrize("shape", [(7, 3), (1, 11), (5, 2)])
def test_sizes_of_any_kind(shape: tuple[int, int]) -> None:
    student, teacher = rows(*shape)
    assert 0 <= float(dist(student, teacher)) <= 4


def test_other_number_of_classes_is_refused() -> None:
    with pytest.raises(StillroomError, match=r"expected equal shapes, got student \(4, 10\) and teacher \(4, 9\)\."):
        DIST()(torch.zeros(4, 10), torch.zeros(4, 9))
