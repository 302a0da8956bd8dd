from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from stillroom.errors import StillroomError
from stillroom.losses import HierarchicalContext, hierarchical_context


def error(*size: int) -> torch.Tensor:
    return torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def pooled(x: torch.Tensor, size: int) -> float:
    return float(F.adaptive_avg_pool2d(x, size).square().mean())


def test_by_hand() -> None:
    """Columns of 1 and −1: as they are 1, and 0 in the mean."""
    student = torch.tensor([[[[1.0, -1.0], [1.0, -1.0]]]])
    assert float(HierarchicalContext()(student, torch.zeros(1, 1, 2, 2))) == pytest.approx(1 / 1.5)


def test_four_sizes_where_all_fit() -> None:
    x = error(8, 8)
    expected = (float(x.square().mean()) + pooled(x, 4) / 2 + pooled(x, 2) / 4 + pooled(x, 1) / 8) / 1.875
    assert float(hierarchical_context(x, torch.zeros_like(x))) == pytest.approx(expected)


@pytest.mark.parametrize("height", [3, 4])
def test_size_that_does_not_fit_consumes_no_weight(height: int) -> None:
    x = error(height, 8)
    expected = (float(x.square().mean()) + pooled(x, 2) / 2 + pooled(x, 1) / 4) / 1.75
    assert float(hierarchical_context(x, torch.zeros_like(x))) == pytest.approx(expected)


def test_single_row_is_a_mean_squared_error() -> None:
    x = error(1, 8)
    assert float(hierarchical_context(x, torch.zeros_like(x))) == pytest.approx(float(x.square().mean()))


@pytest.mark.parametrize("size", [1, 2, 5, 7, 32])
def test_constant_error_does_not_depend_on_the_size(size: int) -> None:
    student = torch.full((2, 3, size, size), 3.0)
    assert float(HierarchicalContext()(student, torch.ones_like(student))) == pytest.approx(4)


def test_other_size_is_refused() -> None:
    with pytest.raises(
        StillroomError, match=r"expected equal shapes, got student \(2, 3, 8, 8\) and teacher \(2, 3, 4, 4\)"
    ):
        HierarchicalContext()(torch.zeros(2, 3, 8, 8), torch.zeros(2, 3, 4, 4))


def test_pooled_vectors_are_refused() -> None:
    with pytest.raises(
        StillroomError, match=r"^wrong number of axes; expected maps \(N, C, H, W\), got student \(2, 8\)"
    ):
        HierarchicalContext()(torch.zeros(2, 8), torch.zeros(2, 8))
