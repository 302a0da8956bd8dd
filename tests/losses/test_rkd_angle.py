from __future__ import annotations

import importlib

import pytest
import torch
from largest_tensor import largest_tensor
from torch import Tensor

from stillroom.errors import StillroomError
from stillroom.losses import RKDAngle, rkd_angle
from stillroom.losses.rkd_angle import cosines

MODULE = importlib.import_module("stillroom.losses.rkd_angle")  # as an attribute, its function hides it


def vectors(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def value_and_gradients(student: Tensor, teacher: Tensor) -> list[Tensor]:
    student, teacher = student.requires_grad_(), teacher.requires_grad_()
    value = rkd_angle(student, teacher)
    return [value.detach(), *torch.autograd.grad(value, (student, teacher))]


def test_by_hand() -> None:
    """The corners of a right-angled triangle, with cosines 0, 0.6 and 0.8, against a line, with −1, 1 and 1."""
    student, teacher = torch.tensor([[0.0, 0.0], [3.0, 0.0], [0.0, 4.0]]), torch.tensor([[0.0], [-1.0], [1.0]])
    errors = (1.0, 1 - 0.6, 1 - 0.8)
    assert float(RKDAngle()(student, teacher)) == pytest.approx(2 * sum(e * e / 2 for e in errors) / 27)


def test_far_errors_count_linearly() -> None:
    student, teacher = torch.tensor([[0.0], [1.0], [2.0]]), torch.tensor([[0.0], [-1.0], [1.0]])
    assert float(rkd_angle(student, teacher)) == pytest.approx(2 * (2 - 0.5 + 2 - 0.5) / 27)


def test_mean_counts_triplets_without_an_angle() -> None:
    """Two samples form none: 8 triplets, all equal."""
    assert float(rkd_angle(vectors(2, 3), vectors(2, 5, seed=1))) == pytest.approx(0, abs=1e-15)
    assert torch.diagonal(cosines(vectors(4, 3), vectors(4, 3)), dim1=0, dim2=1).abs().max() == 0


@pytest.mark.parametrize("samples", [1, 4])
def test_collapsed_batch_has_no_gradient(samples: int) -> None:
    student = torch.ones(samples, 3, requires_grad=True)
    value = RKDAngle()(student, torch.randn(samples, 5))
    value.backward()
    assert torch.isfinite(value)
    assert (value.item() == 0) == (samples == 1)
    assert student.grad is not None
    assert not student.grad.any()


def test_repeated_samples_have_a_moderate_gradient() -> None:
    """Divided by 1e-12, the directions between them would have gradients of 1e12."""
    student = torch.randn(3, 4).repeat(2, 1).requires_grad_()
    rkd_angle(student, torch.randn(6, 4)).backward()
    assert student.grad is not None
    assert float(student.grad.abs().max()) < 10


@pytest.mark.parametrize("limit", [1, 200, 299])
def test_blocks_give_what_the_whole_gives(limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    student, teacher = vectors(10, 3), vectors(10, 7, seed=1)
    whole = value_and_gradients(student, teacher)
    monkeypatch.setattr(MODULE, "_BLOCK", limit)
    torch.testing.assert_close(value_and_gradients(student, teacher), whole)


def test_blocks_compile_into_one_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MODULE, "_BLOCK", 200)
    student, teacher = vectors(10, 3).requires_grad_(), vectors(10, 7, seed=1)
    torch._dynamo.reset()
    compiled = torch.compile(RKDAngle(), backend="eager", fullgraph=True)
    (expected,) = torch.autograd.grad(RKDAngle()(student, teacher), student)
    (gradient,) = torch.autograd.grad(compiled(student, teacher), student)
    torch.testing.assert_close(gradient, expected)


def test_blocks_need_no_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = rkd_angle(vectors(10, 3), vectors(10, 7, seed=1))
    monkeypatch.setattr(MODULE, "_BLOCK", 200)
    torch.testing.assert_close(rkd_angle(vectors(10, 3), vectors(10, 7, seed=1)), expected)


@pytest.mark.parametrize(("samples", "width"), [(200, 4), (100, 900)])
def test_no_tensor_of_all_triplets(samples: int, width: int) -> None:
    student, teacher = vectors(samples, width).float(), vectors(samples, 3, seed=1).float()
    assert largest_tensor(RKDAngle(), student, teacher) <= 2**22 < samples**2 * max(samples, width)


def test_other_batch_is_refused() -> None:
    with pytest.raises(StillroomError, match=r"expected the same N, got student \(4, 8\) and teacher \(3, 8\)\. Both"):
        RKDAngle()(torch.zeros(4, 8), torch.zeros(3, 8))
