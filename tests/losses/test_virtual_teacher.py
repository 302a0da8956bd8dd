from __future__ import annotations

import math

import pytest
import torch

from stillroom.distillers import Term
from stillroom.errors import StillroomError
from stillroom.losses import VirtualTeacher, virtual_teacher


def batch(c: int = 10) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    student = 3 * torch.randn(6, c, generator=generator, dtype=torch.float64)
    return student, torch.randint(c, (6,), generator=generator)


@pytest.mark.parametrize("classes", [2, 10, 1000])
def test_is_zero_at_the_virtual_logits(classes: int) -> None:
    _, labels = batch(classes)
    perfect = torch.full((6, classes), 0.1 / (classes - 1), dtype=torch.float64)
    perfect[torch.arange(6), labels] = 0.9
    perfect.requires_grad_()
    value = VirtualTeacher()(perfect + 7, labels=labels)
    value.backward()
    assert float(value.detach()) == pytest.approx(0, abs=1e-9)
    assert float(perfect.grad.abs().max()) < 1e-12


@pytest.mark.parametrize("classes", [10, 1000])
def test_is_a_batch_mean_with_both_sides_softened(classes: int) -> None:
    """The authors' code averages over the classes, too, and leaves the student at temperature 1."""
    student, labels = batch(classes)
    virtual = torch.full((6, classes), 0.01 / (classes - 1), dtype=torch.float64)
    virtual[torch.arange(6), labels] = 0.99
    p, log_q = (virtual / 4).softmax(1), (student / 4).log_softmax(1)
    expected = 16 * (p * (p.log() - log_q)).sum(1).mean()
    assert float(VirtualTeacher(correct=0.99, tau=4.0)(student, labels=labels)) == pytest.approx(float(expected))


def test_term_needs_no_teacher() -> None:
    term = Term(VirtualTeacher())
    assert not term.needs_teacher
    assert term.operands == ("student",)
    assert term.context == {"labels": True}


def test_certain_and_wrong_is_finite() -> None:
    student = torch.tensor([[1e4, -1e4]], requires_grad=True)
    value = virtual_teacher(student, labels=torch.tensor([1]), correct=1.0, tau=1.0)
    value.backward()
    sure = 1 / (1 + math.exp(-1))
    assert value.item() == pytest.approx(2e4 * sure, rel=1e-4)
    torch.testing.assert_close(student.grad, torch.tensor([[sure, -sure]]))


@pytest.mark.parametrize("correct", [0.0, -0.5, 1.5, math.nan])
def test_correct_must_be_a_probability(correct: float) -> None:
    with pytest.raises(
        StillroomError, match=rf"^correct is no probability; expected 0 < correct <= 1, got {correct}\.$"
    ):
        VirtualTeacher(correct=correct)


def test_single_class_is_refused() -> None:
    with pytest.raises(
        StillroomError, match=r"^one class has no other to compare with; expected C >= 2, got \(2, 1\)\.$"
    ):
        VirtualTeacher()(torch.zeros(2, 1), labels=torch.zeros(2, dtype=torch.long))


def test_maps_and_empty_batches_are_refused() -> None:
    with pytest.raises(StillroomError, match=r"^wrong number of axes; expected logits \(N, C\), got \(2, 3, 4, 4\)\.$"):
        VirtualTeacher()(torch.zeros(2, 3, 4, 4), labels=torch.zeros(2, dtype=torch.long))
    with pytest.raises(StillroomError, match=r"^an empty input has no loss; expected logits \(N, C\), got \(0, 3\)\.$"):
        VirtualTeacher()(torch.zeros(0, 3), labels=torch.zeros(0, dtype=torch.long))
