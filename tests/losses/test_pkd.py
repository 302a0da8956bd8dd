from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from stillroom.errors import StillroomError
from stillroom.losses import PKD, pkd


def maps(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_is_one_minus_pearsons_correlation() -> None:
    student, teacher = maps(2, 3, 4, 5), maps(2, 3, 4, 5, seed=1)
    rho = [np.corrcoef(student[:, c].flatten(), teacher[:, c].flatten())[0, 1] for c in range(3)]
    assert float(PKD()(student, teacher)) == pytest.approx((1 - np.mean(rho)) * 39 / 40, rel=1e-5)


def test_mean_and_size_of_a_channel_are_free() -> None:
    student, teacher = maps(2, 3, 4, 5), maps(2, 3, 4, 5, seed=1)
    factors = torch.tensor([0.1, 1.0, 7.0]).view(3, 1, 1)
    assert float(pkd(5 + factors * student, teacher)) == pytest.approx(float(pkd(student, teacher)), rel=1e-4)


@pytest.mark.parametrize("size", [(4, 6), (2, 3), (8, 3)])
def test_side_is_resized_where_height_or_width_differs(size: tuple[int, int]) -> None:
    """mmrazor looks at the height alone, and fails where only the width differs."""
    student, teacher = maps(2, 3, *size), maps(2, 3, 4, 3, seed=1)
    at_teacher = F.interpolate(student, (4, 3), mode="bilinear", align_corners=False)
    at_student = F.interpolate(teacher, size, mode="bilinear", align_corners=False)
    torch.testing.assert_close(PKD()(student, teacher), pkd(at_teacher, teacher))
    torch.testing.assert_close(PKD(resize="teacher")(student, teacher), pkd(student, at_student))


def test_levels_add_up() -> None:
    students, teachers = ([maps(2, 3, size, size, seed=seed + size) for size in (8, 4, 2)] for seed in (0, 10))
    expected = sum(pkd(s, t) for s, t in zip(students, teachers, strict=True))
    torch.testing.assert_close(PKD()(tuple(students), teachers), expected)


@pytest.mark.parametrize("value", [0.0, 3.0, 0.1, 1e4 / 3])
def test_constant_channel_has_a_moderate_gradient(value: float) -> None:
    """Divided by 0 + 1e-6, it would have one of a million."""
    student = maps(2, 3, 4, 5).float()
    student[:, 1] = value
    student.requires_grad_()
    PKD()(student, maps(2, 3, 4, 5, seed=1).float()).backward()
    assert student.grad is not None
    assert float(student.grad.abs().max()) < 10


def test_single_number_has_no_correlation() -> None:
    """Its unbiased deviation is 0 / 0."""
    student = torch.ones(1, 3, 1, 1, requires_grad=True)
    value = PKD()(student, torch.rand(1, 3, 1, 1))
    value.backward()
    assert value.item() == 0
    assert student.grad is not None
    assert not student.grad.any()


def test_unknown_side_is_refused() -> None:
    message = r"^unknown resize 'teachers'; expected student or teacher\. Did you mean 'teacher'"
    side: Any = "teachers"
    with pytest.raises(StillroomError, match=message):
        PKD(resize=side)
    with pytest.raises(StillroomError, match=message):
        pkd(maps(2, 3, 4, 4), maps(2, 3, 4, 4), resize=side)


@pytest.mark.parametrize(
    ("student", "got"),
    [
        ([maps(2, 3, 4, 4)] * 3, "student list of 3 and teacher tuple of 2"),
        (maps(2, 3, 4, 4), r"student \(2, 3, 4, 4\) and teacher tuple of 2"),
        (None, "student NoneType and teacher tuple of 2"),
        ((), "student tuple of 0 and teacher tuple of 2"),
    ],
)
def test_other_levels_are_refused(student: Any, got: str) -> None:
    with pytest.raises(
        StillroomError,
        match=rf"^both sides must have the same levels; expected two tuples of one length, at least 1, got {got}\.$",
    ):
        PKD()(student, [maps(2, 3, 4, 4)] * 2)


def test_other_channels_are_refused() -> None:
    with pytest.raises(
        StillroomError,
        match=r"expected the same N, C, got student \(2, 3, 4, 4\) and teacher \(2, 4, 2, 2\)\. A connector",
    ):
        PKD()([maps(2, 3, 4, 4)], [maps(2, 4, 2, 2)])
