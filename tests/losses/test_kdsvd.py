from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from stillroom.errors import StillroomError
from stillroom.losses import KDSVD, kdsvd
from stillroom.losses.kdsvd import right_vectors


def maps(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def pattern(*channels: float) -> Tensor:
    """A map of one pixel, whose only right vector is that of its channels."""
    return torch.tensor(channels, dtype=torch.float64).view(1, -1, 1, 1)


def test_by_hand() -> None:
    """The student's pattern stays, the teacher's turns by 37 degrees."""
    value = KDSVD()((pattern(2, 0), pattern(1, 0)), (pattern(5, 0), pattern(4, 3)))
    student, teacher = [(1, 0), (1, 0)], [(1, 0), (0.8, 0.6)]
    expected = 0.0
    for c in (0, 1):
        for d in (0, 1):
            r_s, r_t = (math.exp(-((now[c] - before[d]) ** 2) / 8) for before, now in (student, teacher))
            expected += (r_s - r_t) ** 2
    assert float(value) == pytest.approx(expected)


def test_sign_of_a_pattern_does_not_matter() -> None:
    student, teacher = [maps(2, 4, 3, 3), maps(2, 5, 2, 2)], [maps(2, 4, 3, 3, seed=1), maps(2, 5, 2, 2, seed=2)]
    expected = kdsvd(student, teacher)
    torch.testing.assert_close(kdsvd([-student[0], student[1]], teacher), expected)
    torch.testing.assert_close(kdsvd(student, [teacher[0], -teacher[1]]), expected)


def test_every_pair_of_consecutive_layers_counts_once() -> None:
    student, teacher = ([maps(2, 4, 3, 3, seed=seed + i) for i in range(3)] for seed in (0, 10))
    pairs = kdsvd(student[:2], teacher[:2]) + kdsvd(student[1:], teacher[1:])
    torch.testing.assert_close(KDSVD()(tuple(student), teacher), pairs)


def test_maps_need_not_be_square() -> None:
    """RepDistiller views W as H."""
    student, teacher = ([maps(2, 4, 2, 8, seed=seed + i) for i in range(2)] for seed in (0, 10))
    square = [[x.reshape(2, 4, 4, 4) for x in side] for side in (student, teacher)]
    torch.testing.assert_close(kdsvd(student, teacher), kdsvd(*square))


def test_gradient_of_the_vectors_is_that_of_a_decomposition() -> None:
    """Where singular values are distinct, torch's own derivative exists."""
    x = maps(2, 5, 8).requires_grad_()
    weights = maps(2, 5, 3, seed=1)
    (gradient,) = torch.autograd.grad((right_vectors(x, 3).square() * weights).sum(), x)
    vectors = torch.linalg.svd(x.transpose(1, 2), full_matrices=False).Vh.mT[..., :3]
    (expected,) = torch.autograd.grad((vectors.square() * weights).sum(), x)
    torch.testing.assert_close(gradient, expected)


def nearly_equal(gap: float) -> Tensor:
    """Two patterns with singular values 1 and 1 + gap, in an oblique basis."""
    turned, _ = torch.linalg.qr(maps(4, 4))
    return (turned @ torch.diag(torch.tensor([1 + gap, 1.0, 0.3, 0.1], dtype=torch.float64))).view(1, 4, 2, 2)


@pytest.mark.parametrize("gap", [0.0, 1e-12, 1e-9])
def test_gradient_does_not_explode_where_singular_values_are_close(gap: float) -> None:
    layers = [nearly_equal(gap).float().requires_grad_(), maps(1, 4, 2, 2).float()]
    kdsvd(layers, [maps(1, 4, 2, 2, seed=1).float(), maps(1, 4, 2, 2, seed=2).float()], k=2).backward()
    assert layers[0].grad is not None
    assert float(layers[0].grad.abs().max()) < 10


@pytest.mark.parametrize("fill", [torch.zeros_like, torch.ones_like])
def test_map_without_a_pattern_has_a_finite_gradient(fill: type) -> None:
    student = [fill(maps(2, 4, 3, 3)).requires_grad_(), fill(maps(2, 4, 3, 3)).requires_grad_()]
    value = KDSVD(k=2)(student, [maps(2, 4, 3, 3, seed=1), maps(2, 4, 3, 3, seed=2)])
    value.backward()
    assert torch.isfinite(value)
    assert all(x.grad is not None and torch.isfinite(x.grad).all() for x in student)


def test_k_beyond_the_smallest_layer_is_as_many_as_there_are() -> None:
    student, teacher = ([maps(2, 4, 3, 3, seed=seed), maps(2, 6, 1, 2, seed=seed + 1)] for seed in (0, 10))
    assert torch.equal(kdsvd(student, teacher, k=9), kdsvd(student, teacher, k=2))


@pytest.mark.parametrize(
    ("student", "teacher", "got"),
    [
        (maps(2, 3, 4, 4), maps(2, 3, 4, 4), r"student \(2, 3, 4, 4\) and teacher \(2, 3, 4, 4\)"),
        ([maps(2, 3, 4, 4)], [maps(2, 3, 4, 4)], "student list of 1 and teacher tuple of 1"),
        ([maps(2, 3, 4, 4)] * 3, [maps(2, 3, 4, 4)] * 2, "student list of 3 and teacher tuple of 2"),
    ],
)
def test_fewer_than_two_layers_or_others_are_refused(
    student: Sequence[Tensor], teacher: Sequence[Tensor], got: str
) -> None:
    with pytest.raises(
        StillroomError,
        match=rf"^both sides must have the same levels; expected two tuples of one length, at least 2, got {got}\.$",
    ):
        KDSVD()(student, teacher)


def test_other_channels_are_refused() -> None:
    with pytest.raises(StillroomError, match=r"equal shapes, got student \(2, 5, 4, 4\) and teacher \(2, 6, 4, 4\)\."):
        KDSVD()([maps(2, 3, 4, 4), maps(2, 5, 4, 4)], [maps(2, 3, 4, 4), maps(2, 6, 4, 4)])


def test_layers_of_two_batches_are_refused() -> None:
    layers = [maps(2, 3, 4, 4), maps(1, 3, 4, 4)]
    with pytest.raises(
        StillroomError,
        match=r"^the levels differ in their batch; expected the same N, got \(2, 3, 4, 4\), \(1, 3, 4, 4\)\.$",
    ):
        KDSVD()(layers, layers)


def test_k_below_one_is_refused() -> None:
    with pytest.raises(StillroomError, match=r"^k is no number of vectors; expected k >= 1 and finite, got 0\.$"):
        KDSVD(k=0)
