from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from stillroom.errors import StillroomError
from stillroom.losses import YOLOFineGrained, yolo_fine_grained
from stillroom.losses.yolo_fine_grained import strongest
from stillroom.losses.yolo_heads import split

CLASSES = 2
SURE = 60.0  # a logit whose sigmoid is 1


def heads(count: int = 3, seed: int = 0) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    sizes = ((2, 3), (4, 6), (8, 12))[:count]
    return tuple(torch.randn(2, 21, *size, generator=generator, dtype=torch.float64) for size in sizes)


def head(objectness: list[list[float]], classes: list[list[int]]) -> Tensor:
    """One anchor in each cell, sure of its class; the box is 0. (1, 7, H, W)."""
    said = torch.zeros(1, 7, len(objectness), len(objectness[0]), dtype=torch.float64)
    said[0, 4] = torch.tensor(objectness)
    said[0, 5:] = torch.nn.functional.one_hot(torch.tensor(classes), CLASSES).movedim(-1, 0) * 4.0
    return said


def kept(said: Tensor) -> list[Any]:
    return strongest(split(said, CLASSES))[0].squeeze(0).tolist()


def test_by_hand() -> None:
    """One anchor in one cell: a known number for each channel."""
    student = torch.tensor([0.0, 0, 3, -1, 2, 0, 1], dtype=torch.float64).view(1, 7, 1, 1)
    teacher = torch.tensor([0.0, SURE, 1, 1, 0.5, -SURE, SURE], dtype=torch.float64).view(1, 7, 1, 1)
    weight = 1 / (1 + math.exp(-0.5))
    boxes = weight * (math.log(2) + math.log(2) + 2 + 2)
    classes = weight * (math.log(2) + math.log(1 + math.exp(-1))) / 2
    for objectness, target in (("hard", 1.0), ("soft", weight)):
        objects = math.log(1 + math.exp(2)) - 2 * target
        value = yolo_fine_grained((student,), (teacher,), num_classes=CLASSES, objectness=objectness)
        assert float(value) == pytest.approx(boxes + classes + objects)


@pytest.mark.parametrize("nms", [False, True])
def test_heads_add_up(nms: bool) -> None:
    loss, student, teacher = YOLOFineGrained(CLASSES, nms=nms), heads(), heads(seed=1)
    expected = sum(loss([s], [t]) for s, t in zip(student, teacher, strict=True))
    torch.testing.assert_close(loss(student, teacher), expected)


def test_every_channel_of_every_head_gets_a_gradient() -> None:
    student = [x.requires_grad_() for x in heads()]
    YOLOFineGrained(CLASSES)(student, heads(seed=1)).backward()
    assert all(x.grad is not None and bool(x.grad.all()) for x in student)


def test_hard_objectness_is_above_0_alone() -> None:
    """At exactly 0 the teacher sees nothing, with however little above it an object, even where σ rounds to ½."""
    student = head([[1.0]], [[0]])
    values = [YOLOFineGrained(CLASSES)([student], [head([[o]], [[0]])]) for o in (-1e-20, 0.0, 1e-20)]
    torch.testing.assert_close(values[1], values[0])
    torch.testing.assert_close(values[2], values[1] - 1)  # BCE(1, 0) − BCE(1, 1)


def test_where_the_teacher_sees_nothing_objectness_alone_is_taught() -> None:
    student, teacher = (x.clone() for x in (*heads(1), *heads(1, 1)))
    teacher.unflatten(1, (3, 7))[:, :, 4] = -200.0
    student.requires_grad_()
    YOLOFineGrained(CLASSES)([student], [teacher]).backward()
    assert student.grad is not None
    taught = student.grad.unflatten(1, (3, 7)).abs().amax(dim=(0, 1, 3, 4)) > 1e-12
    assert taught.tolist() == [False] * 4 + [True] + [False] * 2


def test_channels_that_are_swapped_are_seen() -> None:
    student, teacher = heads(1)[0], heads(1, 1)[0]

    def rolled(x: Tensor) -> Tensor:
        return x.unflatten(1, (3, 7)).roll(2, dims=2).flatten(1, 2)

    value, other = (
        yolo_fine_grained([s], [t], num_classes=CLASSES)
        for s, t in ((student, teacher), (rolled(student), rolled(teacher)))
    )
    assert abs(float(value - other)) > 0.01


def test_nms_of_a_single_cell_changes_nothing() -> None:
    """With one anchor there is nobody to suppress."""
    student, teacher = torch.randn(2, 3, 7, 1, 1).double()
    plain, suppressed = (YOLOFineGrained(CLASSES, nms=nms)([student], [teacher]) for nms in (False, True))
    assert torch.equal(plain, suppressed)


def test_nms_keeps_the_strongest_of_a_class_around() -> None:
    said = head([[1.0, 2.0, 0.5, 0.7]], [[0, 0, 0, 1]])
    assert kept(said) == [[False, True, False, True]]


def test_nms_reaches_one_cell_in_every_direction_and_no_further() -> None:
    peak = torch.zeros(5, 5)
    peak[2, 2] = 1.0
    found = kept(head(peak.tolist(), [[0] * 5] * 5))
    assert [[row[j] for j in (1, 2, 3)] for row in found[1:4]] == [[False] * 3, [False, True, False], [False] * 3]
    assert all(found[i][j] for i in range(5) for j in range(5) if i in (0, 4) or j in (0, 4))


def test_what_is_suppressed_still_suppresses() -> None:
    assert kept(head([[3.0, 2.0, 1.0, 2.0]], [[0, 0, 0, 0]])) == [[True, False, False, True]]


def test_nms_is_across_anchors_and_not_across_samples_or_heads() -> None:
    weak, strong = head([[1.0]], [[0]]), head([[2.0]], [[0]])
    anchors = torch.cat((weak, strong), dim=1)
    assert strongest(split(anchors, CLASSES)).flatten().tolist() == [False, True]
    assert strongest(split(torch.cat((weak, strong)), CLASSES)).all()
    loss, student = YOLOFineGrained(CLASSES, nms=True), head([[0.3]], [[1]])
    plain = YOLOFineGrained(CLASSES)([student] * 2, [weak, strong])
    assert torch.equal(loss([student] * 2, [weak, strong]), plain)


def test_what_nms_suppresses_teaches_an_objectness_of_0() -> None:
    teacher = head([[2.0, 5.0]], [[0, 0]])
    silent = teacher.clone()
    silent[0, 4, 0, 0] = -math.inf
    student = torch.randn(1, 7, 1, 2).double()
    for objectness in ("hard", "soft"):
        expected = yolo_fine_grained([student], [silent], num_classes=CLASSES, objectness=objectness)
        value = yolo_fine_grained([student], [teacher], num_classes=CLASSES, objectness=objectness, nms=True)
        torch.testing.assert_close(value, expected)


def test_on_a_plateau_all_are_kept() -> None:
    """Equal objectness and equal classes: the value is that without suppression, and finite."""
    teacher, student = torch.zeros(2, 21, 4, 5).double(), torch.randn(2, 21, 4, 5).double().requires_grad_()
    value = YOLOFineGrained(CLASSES, nms=True)([student], [teacher])
    value.backward()
    assert torch.equal(value, YOLOFineGrained(CLASSES)([student], [teacher]))
    assert student.grad is not None
    assert bool(student.grad.isfinite().all())


def test_gradient_of_the_formula_stays_finite_where_nms_suppresses() -> None:
    teacher = torch.randn(1, 21, 4, 5).double().requires_grad_()
    for objectness in ("hard", "soft"):
        yolo_fine_grained(
            [torch.randn(1, 21, 4, 5).double()], [teacher], num_classes=2, objectness=objectness, nms=True
        ).backward()
    assert teacher.grad is not None
    assert bool(teacher.grad.isfinite().all())


def test_unknown_objectness_is_refused() -> None:
    message = r"^unknown objectness 'softer'; expected hard or soft\. Did you mean 'soft'"
    word: Any = "softer"
    with pytest.raises(StillroomError, match=message):
        YOLOFineGrained(CLASSES, objectness=word)
    with pytest.raises(StillroomError, match=message):
        yolo_fine_grained(heads(), heads(), num_classes=CLASSES, objectness=word)


def test_number_of_classes_that_the_heads_are_not_for_is_refused() -> None:
    with pytest.raises(StillroomError) as caught:
        YOLOFineGrained(20)(heads(), heads())
    assert str(caught.value) == (
        "head 0: 21 channels are not those of whole anchors; expected a multiple of 5 + num_classes = 25, "
        "got (2, 21, 2, 3). num_classes must be what the detectors were built with."
    )
    with pytest.raises(StillroomError, match=r"^heads without classes; expected num_classes >= 1 and finite, got 0\.$"):
        YOLOFineGrained(0)
