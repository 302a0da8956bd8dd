from __future__ import annotations

import pytest
import torch

from stillroom.losses.tensors import (
    at_least_float32,
    bmm,
    common_precision,
    detached,
    divided,
    standardized,
    unit,
    unit_samples,
)


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


def test_unit_of_nothing_is_nothing_and_has_no_gradient() -> None:
    """Divided by 1e-12, it would have one of 1e12."""
    x = torch.tensor([[3.0, 4.0], [0.0, 0.0]], requires_grad=True)
    rows = unit(x, 1)
    (rows * torch.tensor([5.0, 10.0])).sum().backward()
    torch.testing.assert_close(rows, torch.tensor([[0.6, 0.8], [0.0, 0.0]]))
    torch.testing.assert_close(x.grad, torch.tensor([[(5 - 11 * 0.6) / 5, (10 - 11 * 0.8) / 5], [0.0, 0.0]]))


def test_divided_by_zero_is_zero() -> None:
    x, size = torch.tensor([6.0, 6.0, 0.0], requires_grad=True), torch.tensor([2.0, 0.0, 0.0], requires_grad=True)
    value = divided(x, size)
    value.sum().backward()
    assert value.tolist() == [3, 0, 0]
    assert x.grad is not None
    assert x.grad.tolist() == [0.5, 0, 0]
    assert size.grad is not None
    assert size.grad.tolist() == [-1.5, 0, 0]
    assert divided(x, size, at_least=4.0).tolist() == [1.5, 0, 0]


def test_standardized_along_axes() -> None:
    x = torch.randn(4, 3, 5, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    done = standardized(x, (0, 2, 3), 1e-6)
    torch.testing.assert_close(done.mean((0, 2, 3)), torch.zeros(3, dtype=torch.float64))
    expected = x.std((0, 2, 3)) / (x.std((0, 2, 3)) + 1e-6)
    torch.testing.assert_close(done.std((0, 2, 3)), expected)


@pytest.mark.parametrize("count", [1, 7])
def test_standardized_constant_is_only_centred(count: int) -> None:
    x = torch.full((2, count), 0.1, requires_grad=True)
    done = standardized(x, (1,), 1e-7)
    (done * torch.arange(count)).sum().backward()
    torch.testing.assert_close(done, torch.zeros(2, count), rtol=0, atol=1e-7)
    assert x.grad is not None
    assert float(x.grad.abs().max()) <= count
