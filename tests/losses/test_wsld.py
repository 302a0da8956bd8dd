from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from stillroom.losses import WSLD, soft_label, wsld


def batch(c: int = 10) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    student, teacher = 3 * torch.randn(2, 6, c, generator=generator, dtype=torch.float64)
    return student, teacher, torch.randint(c, (6,), generator=generator)


@pytest.mark.parametrize("classes", [2, 7, 1000])
def test_number_of_classes_comes_from_the_logits(classes: int) -> None:
    """The authors' code, and mmrazor's default, have 1000."""
    student, teacher, labels = batch(classes)
    ratio = F.cross_entropy(student, labels, reduction="none") / F.cross_entropy(teacher, labels, reduction="none")
    soft = -((teacher / 2).softmax(1) * (student / 2).log_softmax(1)).sum(1)
    expected = 4 * ((1 - torch.exp(-ratio)) * soft).mean()
    assert float(WSLD()(student, teacher, labels=labels)) == pytest.approx(float(expected), rel=1e-5)


def test_at_equality_every_sample_has_the_same_weight() -> None:
    _, teacher, labels = batch()
    expected = (1 - math.exp(-1)) * 4 * soft_label(teacher / 2, teacher / 2)
    assert float(wsld(teacher, teacher, labels=labels)) == pytest.approx(float(expected), rel=1e-5)


def test_student_that_knows_better_is_left_alone() -> None:
    teacher, labels = torch.tensor([[1.0, 0.0, 0.0]]), torch.tensor([1])
    student = torch.tensor([[-20.0, 20.0, -20.0]], requires_grad=True)
    wsld(student, teacher, labels=labels).backward()
    assert float(student.grad.abs().max()) < 1e-6
    wrong = torch.tensor([[20.0, -20.0, -20.0]], requires_grad=True)
    value = wsld(wrong, teacher, labels=labels)
    assert value.item() == pytest.approx(soft_label(wrong / 2, teacher / 2).item() * 4, rel=1e-4)


def test_teacher_that_is_sure_and_right_gives_all_weight() -> None:
    """Its cross entropy is 0 in float32: a division by it would be infinite."""
    student, labels = torch.tensor([[0.0, 0.0]], requires_grad=True), torch.tensor([0])
    value = wsld(student, torch.tensor([[1e4, -1e4]]), labels=labels)
    value.backward()
    assert value.item() == pytest.approx(4 * math.log(2))
    torch.testing.assert_close(student.grad, torch.tensor([[-1.0, 1.0]]))


def test_no_gradient_flows_through_the_weights() -> None:
    student, teacher, labels = batch()
    student.requires_grad_()
    WSLD()(student, teacher, labels=labels).backward()
    errors = [F.cross_entropy(x.detach(), labels, reduction="none") for x in (student, teacher)]
    weights = 1 - torch.exp(-errors[0] / errors[1])
    difference = ((student / 2).softmax(1) - (teacher / 2).softmax(1)).detach()
    torch.testing.assert_close(student.grad, 2 * weights[:, None] * difference / 6, rtol=1e-5, atol=1e-8)
