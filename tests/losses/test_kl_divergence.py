from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import log_softmax, softmax
from torch.nn import functional as F

from stillroom.errors import StillroomError
from stillroom.losses import KLDivergence, kl_divergence


def rows(n: int = 6, c: int = 10, seed: int = 0, std: float = 3.0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    student, teacher = std * torch.randn(2, n, c, generator=generator, dtype=torch.float64)
    return student, teacher


def test_two_classes_by_hand() -> None:
    """The teacher says 4 : 1, the student 1 : 1; at tau 2 the teacher says 2 : 1."""
    student, teacher = torch.zeros(1, 2), torch.tensor([[math.log(4.0), 0.0]])
    by_hand = 0.8 * math.log(0.8 / 0.5) + 0.2 * math.log(0.2 / 0.5)
    softer = 2 / 3 * math.log(2 / 3 / 0.5) + 1 / 3 * math.log(1 / 3 / 0.5)
    assert float(KLDivergence()(student, teacher)) == pytest.approx(by_hand, rel=1e-6)
    assert float(KLDivergence(tau=2.0)(student, teacher)) == pytest.approx(4 * softer, rel=1e-6)


@pytest.mark.parametrize("classes", [10, 1000])
def test_batchmean_does_not_divide_by_the_classes(classes: int) -> None:
    student, teacher = rows(c=classes)
    log_s, log_t = log_softmax(student.numpy() / 4, axis=1), log_softmax(teacher.numpy() / 4, axis=1)
    expected = 16 * np.mean(np.sum(softmax(teacher.numpy() / 4, axis=1) * (log_t - log_s), axis=1))
    assert float(KLDivergence(tau=4.0)(student, teacher)) == pytest.approx(expected, rel=1e-12)
    assert float(KLDivergence(tau=4.0, reduction="mean")(student, teacher)) == pytest.approx(expected / classes)


def test_batchmean_of_maps_does_not_divide_by_the_positions() -> None:
    student, teacher = torch.randn(2, 2, 5, 3, 4, dtype=torch.float64)
    per_position = [
        kl_divergence(student[:, :, i, j], teacher[:, :, i, j], tau=2.0) for i in range(3) for j in range(4)
    ]
    assert float(kl_divergence(student, teacher, tau=2.0)) == pytest.approx(float(sum(per_position)))


def test_none_keeps_the_classes_and_adds_up_to_the_others() -> None:
    student, teacher = rows()
    each = KLDivergence(tau=2.0, reduction="none")(student, teacher)
    assert each.shape == student.shape
    assert float(KLDivergence(tau=2.0, reduction="sum")(student, teacher)) == pytest.approx(float(each.sum()))
    assert float(KLDivergence(tau=2.0)(student, teacher)) == pytest.approx(float(each.sum()) / len(student))


def test_high_temperature_matches_the_logits() -> None:
    """As tau grows, the value becomes half of the variance of the difference over the classes (paper, equation 4)."""
    student, teacher = rows(std=1.0)
    half_variance = (student - teacher).var(dim=1, correction=0).mean() / 2
    assert float(KLDivergence(tau=1e4)(student, teacher)) == pytest.approx(float(half_variance), rel=1e-3)


def test_it_is_no_cross_entropy() -> None:
    """0 at p = q, where torchtune's forward KL gives the entropy."""
    student, teacher = rows()
    entropy = F.cross_entropy(teacher, teacher.softmax(1))
    assert float(KLDivergence()(teacher, teacher)) == 0.0
    assert float(kl_divergence(student, teacher)) == pytest.approx(
        float(F.cross_entropy(student, teacher.softmax(1)) - entropy)
    )


def test_gradient_is_the_difference_of_probabilities_times_tau() -> None:
    student, teacher = rows()
    student.requires_grad_()
    KLDivergence(tau=4.0)(student, teacher).backward()
    expected = 4 * ((student / 4).softmax(1) - (teacher / 4).softmax(1)).detach() / len(student)
    torch.testing.assert_close(student.grad, expected)


@pytest.mark.parametrize("tau", [1.0, 4.0])
def test_bfloat16_logits_are_divided_after_the_cast(tau: float) -> None:
    """Rounding logits / tau to bfloat16 again costs per cents of the gradient, which a reference in bfloat16 hides."""
    student, teacher = (x.bfloat16() for x in rows(n=64, c=100, std=30.0))
    exact = student.double().requires_grad_()
    kl_divergence(exact, teacher.double(), tau=tau).backward()
    given = student.float().requires_grad_()
    kl_divergence(given, teacher, tau=tau).backward()
    assert float((given.grad - exact.grad).norm() / exact.grad.norm()) < 1e-5


def test_certain_and_wrong_is_finite() -> None:
    student = torch.tensor([[1e4, -1e4]], requires_grad=True)
    value = KLDivergence()(student, torch.tensor([[-1e4, 1e4]]))
    value.backward()
    assert value.item() == pytest.approx(2e4)
    torch.testing.assert_close(student.grad, torch.tensor([[1.0, -1.0]]))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tau": 0.0}, r"^tau is no temperature; expected tau > 0 and finite, got 0\.0\.$"),
        ({"tau": "4"}, r"^tau is no temperature; expected tau > 0 and finite, got '4'\.$"),
        ({"tau": None}, r"^tau is no temperature; expected tau > 0 and finite, got None\.$"),
        ({"tau": -2}, r"^tau is no temperature; expected tau > 0 and finite, got -2\.$"),
        (
            {"reduction": "batch_mean"},
            r"^unknown reduction 'batch_mean'; expected batchmean or mean or sum or none\. Did you mean 'batchmean'",
        ),
    ],
)
def test_arguments_that_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(StillroomError, match=message):
        KLDivergence(**arguments)
    with pytest.raises(StillroomError, match=message):
        kl_divergence(torch.zeros(2, 3), torch.zeros(2, 3), **arguments)


def test_other_number_of_classes_is_refused() -> None:
    with pytest.raises(
        StillroomError,
        match=r"^student and teacher differ in shape; expected equal shapes, "
        r"got student \(4, 10\) and teacher \(4, 9\)\. A connector can adapt the student to the teacher\.$",
    ):
        KLDivergence()(torch.zeros(4, 10), torch.zeros(4, 9))


def test_other_batch_is_refused() -> None:
    with pytest.raises(StillroomError, match=r"got student \(4, 9\) and teacher \(1, 9\)\. Both .* the same batch\.$"):
        KLDivergence()(torch.zeros(4, 9), torch.zeros(1, 9))


def test_output_that_is_no_tensor_is_refused() -> None:
    with pytest.raises(
        StillroomError,
        match=r"^both sides must be tensors; expected logits \(N, C\) or \(N, C, H, W\), "
        r"got student tuple of 2 and teacher \(4, 9\)\.$",
    ):
        KLDivergence()((torch.zeros(4, 9), None), torch.zeros(4, 9))


def test_token_logits_are_refused() -> None:
    with pytest.raises(StillroomError, match=r"^wrong number of axes; expected logits \(N, C\) or \(N, C, H, W\), got"):
        KLDivergence()(torch.zeros(2, 7, 9), torch.zeros(2, 7, 9))
