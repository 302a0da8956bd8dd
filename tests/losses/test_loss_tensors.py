from __future__ import annotations

import pytest
import torch

from stillroom.losses.tensors import at_least_float32, bmm, common_precision, detached, unit_samples


def test_detached_costs_nothing_without_a_graph() -> None:
    plain, grown = torch.zeros(2), torch.zeros(2, requires_grad=True)
    assert detached(plain) is plain
    assert not detached(grown).requires_grad
    first, second = detached([plain, grown])
    assert first is plain
    assert not second.requires_grad


def test_full_precision_is_not_copied() -> None:
    for dtype in (torch.float32, torch.float64):
        x = torch.zeros(2, dtype=dtype)
        assert at_least_float32(x) is x
        assert all(side is x for side in common_precision(x, x))


@pytest.mark.parametrize(
    ("a", "b", "common"),
    [
        (torch.float16, torch.float16, torch.float32),
        (torch.float16, torch.bfloat16, torch.float32),
        (torch.bfloat16, torch.float32, torch.float32),
        (torch.float32, torch.float64, torch.float64),
        (torch.float16, torch.float64, torch.float64),
    ],
)
def test_common_precision(a: torch.dtype, b: torch.dtype, common: torch.dtype) -> None:
    for one, other in ((a, b), (b, a)):
        sides = common_precision(torch.zeros(2, dtype=one), torch.zeros(2, dtype=other))
        assert {side.dtype for side in sides} == {common}


def test_unit_samples_keeps_the_layout() -> None:
    x = torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last)
    unit = unit_samples(x)
    torch.testing.assert_close(unit.flatten(1), torch.nn.functional.normalize(x.flatten(1)))
    assert unit.is_contiguous(memory_format=torch.channels_last)


def test_unit_samples_divides_by_no_less_than_1e_12() -> None:
    tiny = torch.tensor([[1e-14, 0.0], [2e-12, 0.0]], dtype=torch.float64)
    torch.testing.assert_close(unit_samples(tiny), torch.tensor([[1e-2, 0.0], [1.0, 0.0]], dtype=torch.float64))


def test_bmm_works_on_a_device_without_autocast() -> None:
    assert bmm(torch.zeros(2, 3, 4, device="meta"), torch.zeros(2, 4, 5, device="meta")).shape == (2, 3, 5)
