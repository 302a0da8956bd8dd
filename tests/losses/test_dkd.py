from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from stillroom.errors import StillroomError
from stillroom.losses import DKD, dkd, kl_divergence


@pytest.fixture
def batch() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    student, teacher = 3 * torch.randn(2, 6, 10, generator=generator, dtype=torch.float64)
    return student, teacher, torch.randint(10, (6,), generator=generator)


@pytest.mark.parametrize("tau", [1.0, 4.0])
def test_with_the_teachers_weight_on_the_others_it_is_the_divergence(
    batch: tuple[torch.Tensor, torch.Tensor, torch.Tensor], tau: float
) -> None:
    """KL = TCKD + (1 − p_y) NCKD, sample by sample (paper, equation 6)."""
    student, teacher, labels = batch
    for n in range(len(labels)):
        s, t, y = student[n : n + 1], teacher[n : n + 1], labels[n : n + 1]
        unsure = 1 - float((t / tau).softmax(1)[0, y])
        value = dkd(s, t, labels=y, tau=tau, alpha=1.0, beta=unsure)
        assert float(value) == pytest.approx(float(kl_divergence(s, t, tau=tau)), rel=1e-10)


def test_is_the_authors_form_with_1000_taken_from_the_label(
    batch: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
) -> None:
    student, teacher, labels = batch
    mask = 1000 * F.one_hot(labels, 10)
    expected = 16 * F.kl_div(
        F.log_softmax(student / 4 - mask, dim=1), F.softmax(teacher / 4 - mask, dim=1), reduction="batchmean"
    )
    value = DKD(alpha=0.0, beta=1.0)(student, teacher, labels=labels)
    assert float(value) == pytest.approx(float(expected), rel=1e-10)


def test_two_classes_leave_nothing_among_the_others(batch: tuple[torch.Tensor, torch.Tensor, torch.Tensor]) -> None:
    student, teacher, labels = batch[0][:, :2], batch[1][:, :2], batch[2] % 2
    assert float(DKD(alpha=0.0)(student, teacher, labels=labels)) == 0.0
    value = DKD(tau=2.0)(student, teacher, labels=labels)
    assert float(value) == pytest.approx(float(kl_divergence(student, teacher, tau=2.0)), rel=1e-10)


def test_is_a_mean_over_the_batch(batch: tuple[torch.Tensor, torch.Tensor, torch.Tensor]) -> None:
    """mmrazor's is a sum, whatever its reduction says."""
    student, teacher, labels = batch
    once = DKD()(student, teacher, labels=labels)
    twice = DKD()(student.repeat(2, 1), teacher.repeat(2, 1), labels=labels.repeat(2))
    assert float(twice) == pytest.approx(float(once), rel=1e-12)


@pytest.mark.parametrize("seed", range(20))
def test_is_never_below_zero(seed: int) -> None:
    """PaddleSlim's is, which takes probabilities for logarithms."""
    generator = torch.Generator().manual_seed(seed)
    student, teacher = 10 * torch.randn(2, 4, 7, generator=generator, dtype=torch.float64)
    labels = torch.randint(7, (4,), generator=generator)
    for alpha, beta in ((1.0, 0.0), (0.0, 1.0)):
        assert float(dkd(student, teacher, labels=labels, alpha=alpha, beta=beta)) > 0


def test_target_is_the_label_and_not_the_teachers_choice() -> None:
    """Where the teacher is undecided PaddleSlim has several targets."""
    student, teacher = torch.tensor([[2.0, 0.0, 1.0]]), torch.tensor([[3.0, 3.0, 0.0]])
    values = [float(DKD(tau=1.0)(student, teacher, labels=torch.tensor([y]))) for y in range(3)]
    assert len(set(values)) == 3


@pytest.mark.parametrize("tau", [1.0, 4.0])
def test_saturated_student_is_finite_and_exact(tau: float) -> None:
    """The log of a summed probability would be −inf: the student gives the label all, the teacher next to nothing."""
    student = torch.tensor([[1e4, 0.0, -1e4]], requires_grad=True)
    value = dkd(student, torch.tensor([[0.0, 1e4, -1e4]]), labels=torch.tensor([0]), tau=tau, beta=0.0)
    value.backward()
    assert value.item() == pytest.approx(tau * 1e4)
    torch.testing.assert_close(student.grad, tau * torch.tensor([[1.0, -1.0, 0.0]]))


def test_logits_beyond_1000_are_still_masked() -> None:
    """Taking 1000 off a label's logit of 2500 leaves it ahead of all others, and their divergence 0."""
    student = torch.tensor([[2500.0, 1.0, 0.0]], dtype=torch.float64)
    teacher = torch.tensor([[2500.0, 0.0, 1.0]], dtype=torch.float64)
    value = dkd(student, teacher, labels=torch.tensor([0]), tau=1.0, alpha=0.0, beta=1.0)
    assert float(value) == pytest.approx(float(kl_divergence(student[:, 1:], teacher[:, 1:])))
    assert float(value) > 0.4


def test_one_class_is_refused() -> None:
    with pytest.raises(
        StillroomError, match=r"^one class has no other to compare with; expected C >= 2, got \(4, 1\)\.$"
    ):
        DKD()(torch.zeros(4, 1), torch.zeros(4, 1), labels=torch.zeros(4, dtype=torch.long))
