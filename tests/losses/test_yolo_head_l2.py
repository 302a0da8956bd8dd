from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from stillroom.errors import StillroomError
from stillroom.losses import YOLOHeadL2, yolo_head_l2

SIZES = ((2, 3), (4, 6), (8, 12))


def heads(count: int = 3, seed: int = 0, channels: int = 21) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(2, channels, *size, generator=generator, dtype=torch.float64) for size in SIZES[:count]]


@pytest.mark.parametrize("count", [1, 3])
def test_means_of_the_heads_are_added(count: int) -> None:
    student, teacher = heads(count), heads(count, 1)
    expected = sum(F.mse_loss(s, t) for s, t in zip(student, teacher, strict=True))
    torch.testing.assert_close(YOLOHeadL2(2)(student, tuple(teacher)), expected)


def test_every_head_gets_a_gradient() -> None:
    student = [head.requires_grad_() for head in heads()]
    yolo_head_l2(student, heads(seed=1), num_classes=2).backward()
    assert all(head.grad is not None and bool(head.grad.all()) for head in student)


def test_number_of_classes_that_the_heads_are_not_for_is_refused() -> None:
    student = [*heads(2), torch.zeros(2, 255, 8, 12, dtype=torch.float64)]
    assert YOLOHeadL2(80)(student[2:], student[2:]) == 0
    with pytest.raises(StillroomError) as caught:
        YOLOHeadL2(2)(student, student)
    assert str(caught.value) == (
        "head 2: 255 channels are not those of whole anchors; expected a multiple of 5 + num_classes = 7, "
        "got (2, 255, 8, 12). num_classes must be what the detectors were built with."
    )


@pytest.mark.parametrize("bad", [0, -3])
def test_no_classes_are_refused(bad: int) -> None:
    message = rf"^heads without classes; expected num_classes >= 1 and finite, got {bad}\.$"
    with pytest.raises(StillroomError, match=message):
        YOLOHeadL2(bad)
    with pytest.raises(StillroomError, match=message):
        yolo_head_l2(heads(), heads(), num_classes=bad)


@pytest.mark.parametrize(
    ("student", "got"),
    [
        (heads(2), "student list of 2 and teacher tuple of 3"),
        (heads(1)[0], r"student \(2, 21, 2, 3\) and teacher tuple of 3"),
    ],
)
def test_other_number_of_heads_is_refused(student: Any, got: str) -> None:
    with pytest.raises(StillroomError, match=rf"^both sides must have the same levels; expected .* got {got}\.$"):
        YOLOHeadL2(2)(student, heads())


def test_heads_in_another_order_are_refused() -> None:
    with pytest.raises(
        StillroomError, match=r"expected equal shapes, got student \(2, 21, 2, 3\) and teacher \(2, 21, 8, 12\)\."
    ):
        YOLOHeadL2(2)(heads(), heads()[::-1])
