from __future__ import annotations

import math

import pytest
import torch

from stillroom.errors import StillroomError
from stillroom.losses import AttentionTransfer, attention_transfer
from stillroom.losses.attention_transfer import attention


def test_by_hand() -> None:
    """One channel, two pixels: squares 9 and 16 of norm sqrt(337), against 1 and 1 of norm sqrt(2)."""
    student, teacher = torch.tensor([[[[3.0, -4.0]]]]), torch.tensor([[[[1.0, 1.0]]]])
    differences = (9 / math.sqrt(337) - 1 / math.sqrt(2), 16 / math.sqrt(337) - 1 / math.sqrt(2))
    assert float(AttentionTransfer()(student, teacher)) == pytest.approx(sum(d * d for d in differences) / 2)
    absolute = (3 / 5 - 1 / math.sqrt(2), 4 / 5 - 1 / math.sqrt(2))
    assert float(AttentionTransfer(p=1)(student, teacher)) == pytest.approx(sum(d * d for d in absolute) / 2)


def test_attention_has_unit_norm_per_sample() -> None:
    maps = torch.randn(4, 3, 5, 6)
    torch.testing.assert_close(attention(maps, 2).flatten(1).norm(dim=1), torch.ones(4))


def test_channels_may_differ() -> None:
    maps = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    doubled = torch.cat((maps, maps), dim=1)
    assert float(AttentionTransfer()(maps, doubled)) == pytest.approx(0, abs=1e-12)
    assert float(AttentionTransfer()(maps, doubled.roll(1, dims=2))) > 1e-3


def test_value_shrinks_with_the_number_of_positions() -> None:
    """Each pixel shown four times halves every attention and so makes each square four times smaller."""
    student, teacher = torch.rand(2, 1, 3, 4, 4)
    small = attention_transfer(student, teacher)
    large = attention_transfer(student.repeat(1, 1, 2, 2), teacher.repeat(1, 1, 2, 2))
    assert float(small / large) == pytest.approx(4, rel=1e-4)


def test_size_of_the_numbers_does_not_matter() -> None:
    student, teacher = torch.rand(2, 1, 3, 4, 4)
    assert float(attention_transfer(1000 * student, teacher)) == pytest.approx(
        float(attention_transfer(student, teacher)), rel=1e-4
    )


@pytest.mark.parametrize("p", [1, 1.5, 2, 3])
def test_dead_map_has_a_finite_gradient(p: float) -> None:
    student = torch.zeros(1, 2, 3, 3, requires_grad=True)
    AttentionTransfer(p=p)(student, torch.rand(1, 2, 3, 3)).backward()
    assert student.grad is not None
    assert torch.isfinite(student.grad).all()


def test_other_size_is_refused() -> None:
    with pytest.raises(
        StillroomError,
        match=r"^student and teacher differ in shape; expected the same N, H, W, "
        r"got student \(2, 3, 8, 8\) and teacher \(2, 5, 8, 4\)\. A connector can adapt the student to the teacher\.$",
    ):
        AttentionTransfer()(torch.zeros(2, 3, 8, 8), torch.zeros(2, 5, 8, 4))


def test_vectors_are_refused() -> None:
    """mmrazor's value for them is always 0."""
    with pytest.raises(
        StillroomError,
        match=r"^wrong number of axes; expected maps \(N, C, H, W\), got student \(2, 8\) and teacher \(2, 8\)\.$",
    ):
        AttentionTransfer()(torch.zeros(2, 8), torch.zeros(2, 8))


@pytest.mark.parametrize("p", [0, 0.5, float("nan"), float("inf")])
def test_power_below_one_is_refused(p: float) -> None:
    with pytest.raises(
        StillroomError, match=rf"^p is no power for an attention map; expected p >= 1 and finite, got {p}\.$"
    ):
        AttentionTransfer(p=p)
