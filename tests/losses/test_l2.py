from __future__ import annotations

import pytest
import torch

from stillroom.errors import StillroomError
from stillroom.losses import L2, l2


def test_each_reduction_by_hand() -> None:
    student, teacher = torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([[0.0, 0.0], [0.0, 2.0]])
    assert float(L2()(student, teacher)) == 18 / 4
    assert float(L2(reduction="batchmean")(student, teacher)) == 18 / 2
    assert float(L2(reduction="sum")(student, teacher)) == 18
    assert L2(reduction="none")(student, teacher).tolist() == [[1.0, 4.0], [9.0, 4.0]]


def test_mean_does_not_grow_with_the_map() -> None:
    small, large = torch.ones(2, 3, 4, 4), torch.ones(2, 6, 8, 8)
    assert L2()(small, 0 * small) == L2()(large, 0 * large) == 1


def test_normalised_over_the_flattened_sample() -> None:
    student, teacher = torch.tensor([[[[3.0]], [[4.0]]]]), torch.tensor([[[[0.0]], [[2.0]]]])
    expected = ((3 / 5) ** 2 + (4 / 5 - 1) ** 2) / 2
    assert float(L2(normalize=True)(student, teacher)) == pytest.approx(expected)
    assert float(l2(10 * student, teacher, normalize=True)) == pytest.approx(expected)


def test_normalised_keeps_the_shape_of_each_element() -> None:
    student, teacher = torch.randn(2, 2, 3, 4, 5)
    assert L2(normalize=True, reduction="none")(student, teacher).shape == (2, 3, 4, 5)


def test_normalised_zero_is_zero_and_no_nan() -> None:
    """mmrazor divides by the norm alone."""
    student = torch.zeros(2, 3, requires_grad=True)
    value = L2(normalize=True)(student, torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 0.0]]))
    value.backward()
    assert value.item() == pytest.approx(1 / 6)
    assert student.grad is not None
    assert torch.isfinite(student.grad).all()
    assert not student.grad[1].any()


def test_other_samples_do_not_matter() -> None:
    student, teacher = torch.randn(2, 4, 3)
    assert float(l2(student, teacher, normalize=True)) == pytest.approx(
        float(sum(l2(student[i : i + 1], teacher[i : i + 1], normalize=True) for i in range(4)) / 4)
    )


def test_nothing_is_broadcast() -> None:
    with pytest.raises(
        StillroomError,
        match=r"^student and teacher differ in shape; expected equal shapes, "
        r"got student \(4, 8\) and teacher \(4, 1\)\. A connector can adapt the student to the teacher\.$",
    ):
        L2()(torch.zeros(4, 8), torch.zeros(4, 1))


def test_vector_without_a_batch_is_refused() -> None:
    with pytest.raises(
        StillroomError, match=r"^wrong number of axes; expected features .*, got student \(8,\) and teacher"
    ):
        L2()(torch.zeros(8), torch.zeros(8))


def test_unknown_reduction_is_refused() -> None:
    with pytest.raises(
        StillroomError,
        match=r"^unknown reduction 'avg'; expected batchmean or mean or sum or none\. There are: batchmean, ",
    ):
        L2(reduction="avg")  # pyright: ignore[reportArgumentType]
