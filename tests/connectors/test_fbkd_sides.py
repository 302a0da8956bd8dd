"""FBKD's masks, means and relations against loops in float64."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from stillroom import StillroomError
from stillroom.connectors import FBKDFeatures, FBKDStudent, FBKDTeacher


def soft(levels: list[float]) -> list[float]:
    parts = [math.exp(level / 0.5) for level in levels]
    return [len(levels) * part / sum(parts) for part in parts]


def test_masks_equal_the_formula() -> None:
    x = torch.randn(2, 3, 2, 4).double()
    seen = FBKDTeacher(3, reduction=3).double()(x)
    for n in range(2):
        pixels = [sum(abs(float(x[n, c, i, j])) for c in range(3)) / 3 for i in range(2) for j in range(4)]
        assert seen.spatial_mask[n].flatten().tolist() == pytest.approx(soft(pixels))
        channels = [sum(abs(float(v)) for v in x[n, c].flatten()) / 8 for c in range(3)]
        assert seen.channel_mask[n].flatten().tolist() == pytest.approx(soft(channels))


def test_no_gradient_flows_through_the_masks() -> None:
    seen = FBKDStudent(4)(torch.randn(2, 4, 4, 4, requires_grad=True))
    assert [part.requires_grad for part in seen] == [True, True, True, True, False, False]


def relation(block: nn.Module, x: Tensor, pool: int) -> Tensor:
    """One sample; every pair of a pixel and a pooled one by itself."""
    _, h, w = x.shape
    theta, phi, g = (conv(x[None])[0] for conv in (block.theta, block.phi, block.g))

    def pooled(y: Tensor) -> Tensor:
        windows = [(i, j) for i in range(0, h - pool + 1, pool) for j in range(0, w - pool + 1, pool)]
        return torch.stack([y[:, i : i + pool, j : j + pool].amax((1, 2)) for i, j in windows])

    keys, values = pooled(phi), pooled(g)
    y = torch.zeros_like(theta)
    for i, j in torch.cartesian_prod(torch.arange(h), torch.arange(w)).tolist():
        y[:, i, j] = sum(float(theta[:, i, j] @ key) * value for key, value in zip(keys, values, strict=True)) / len(
            keys
        )
    return x + block.norm(block.out(y[None]))[0]


@pytest.mark.parametrize(("reduction", "pool"), [(2, 2), (4, 1), (1, 3)])
def test_relation_equals_the_formula(reduction: int, pool: int) -> None:
    teacher = FBKDTeacher(4, reduction=reduction, pool=pool).double().eval()
    nn.init.uniform_(teacher.non_local.norm.weight)
    nn.init.uniform_(teacher.non_local.norm.bias)
    x = torch.randn(2, 4, 5, 6).double()
    with torch.no_grad():
        expected = torch.stack([relation(teacher.non_local, sample, pool) for sample in x])
        torch.testing.assert_close(teacher(x).relation, expected)


def test_relation_starts_as_the_map_itself() -> None:
    x = torch.randn(2, 4, 5, 6)
    assert torch.equal(FBKDTeacher(4)(x).relation, x)


def test_the_student_adapts_what_the_teacher_has_as_it_is() -> None:
    x = torch.randn(2, 4, 5, 6)
    student, teacher = FBKDStudent(4).eval(), FBKDTeacher(4).eval()
    has, wanted = student(x), teacher(x)
    assert isinstance(has, FBKDFeatures)
    assert [part.shape for part in has] == [part.shape for part in wanted]
    assert torch.equal(wanted.feature, x)
    torch.testing.assert_close(wanted.channels, x.mean((2, 3)))
    torch.testing.assert_close(wanted.space, x.mean(1, keepdim=True))
    torch.testing.assert_close(has.feature, student.of_feature(x))
    torch.testing.assert_close(has.channels, student.of_channels(x.mean((2, 3))))
    torch.testing.assert_close(has.space, student.of_space(x.mean(1, keepdim=True)))
    torch.testing.assert_close(has.relation, student.of_relation(x))
    assert FBKDFeatures._fields == ("feature", "channels", "space", "relation", "spatial_mask", "channel_mask")


@pytest.mark.parametrize("kind", [FBKDStudent, FBKDTeacher])
def test_what_does_not_fit_is_refused(kind: type[nn.Module]) -> None:
    with pytest.raises(StillroomError, match=r"^channels must be a whole number, at least 1; got 0\.$"):
        kind(0)
    with pytest.raises(StillroomError, match=r"^reduction leaves no channel; expected 1 to 4, got 5\.$"):
        kind(4, reduction=5)
    with pytest.raises(StillroomError, match=r"^the map is smaller than pool; expected at least 8, got \(5, 9\)\.$"):
        kind(4, pool=8)(torch.zeros(2, 4, 5, 9))
    with pytest.raises(StillroomError, match=r"expected a map \(N, 4, H, W\), got a tensor of shape \(2, 3, 5, 5\)\.$"):
        kind(4)(torch.zeros(2, 3, 5, 5))
