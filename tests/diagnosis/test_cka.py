"""CKA against a slow reference, and what it does not depend on."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from stillroom.diagnosis import cka
from stillroom.errors import StillroomError


def draw(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def grams(x: Tensor) -> list[list[float]]:
    rows = x.flatten(1).tolist()
    return [[sum(a * b for a, b in zip(one, two, strict=True)) for two in rows] for one in rows]


def hsic(k: list[list[float]], m: list[list[float]]) -> float:
    """tr(K H L H) / (n - 1)^2, entry by entry: Kornblith 2019, section 3."""
    n = len(k)
    h = [[(i == j) - 1 / n for j in range(n)] for i in range(n)]

    def product(a: list[list[float]], b: list[list[float]]) -> list[list[float]]:
        return [[sum(a[i][s] * b[s][j] for s in range(n)) for j in range(n)] for i in range(n)]

    whole = product(product(product(k, h), m), h)
    return sum(whole[i][i] for i in range(n)) / (n - 1) ** 2


def unbiased(k: list[list[float]], m: list[list[float]]) -> float:
    """Nguyen 2021, equation 3: the diagonals are left out."""
    n = len(k)
    k, m = ([[0.0 if i == j else g[i][j] for j in range(n)] for i in range(n)] for g in (k, m))
    trace = sum(k[i][j] * m[j][i] for i in range(n) for j in range(n))
    totals = sum(map(sum, k)) * sum(map(sum, m)) / ((n - 1) * (n - 2))
    middle = sum(k[i][j] * m[j][s] for i in range(n) for j in range(n) for s in range(n)) * 2 / (n - 2)
    return (trace + totals - middle) / (n * (n - 3))


@pytest.mark.parametrize(("debiased", "estimate"), [(True, unbiased), (False, hsic)])
@pytest.mark.parametrize("samples", [4, 7])
def test_it_is_the_papers_formula(debiased: bool, estimate: object, samples: int) -> None:
    x, y = draw(samples, 5, seed=0) + 3, draw(samples, 2, 3, seed=1)
    y[:, 0] += x[:, :3]
    k, m = grams(x), grams(y)
    expected = estimate(k, m) / math.sqrt(estimate(k, k) * estimate(m, m))
    assert 0 < abs(expected) < 1
    assert cka(x, y, debiased=debiased).item() == pytest.approx(expected, rel=1e-10)


def test_the_estimates_differ_and_without_bias_strangers_have_nothing_in_common() -> None:
    x, y = draw(64, 500, seed=0), draw(64, 500, seed=1)
    assert cka(x, y, debiased=False) > 0.8
    assert abs(cka(x, y)) < 0.1


@pytest.mark.parametrize("debiased", [True, False])
def test_invariances(debiased: bool) -> None:
    x, y = draw(12, 6, seed=0), draw(12, 9, seed=1)
    y[:, :6] += x
    value = cka(x, y, debiased=debiased)
    turned = torch.linalg.qr(draw(6, 6, seed=2))[0]
    for same in (x @ turned, 7.5 * x, x + draw(6, seed=3), -x, x.flip(1)):
        torch.testing.assert_close(cka(same, y, debiased=debiased), value)
    torch.testing.assert_close(cka(y, x, debiased=debiased), value)
    order = torch.randperm(12, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(cka(x[order], y[order], debiased=debiased), value)
    assert abs(cka(x[order], y, debiased=debiased) - value) > 0.05  # the samples' order does count
    assert abs(cka(x @ draw(6, 6, seed=4), y, debiased=debiased) - value) > 0.01  # and so does stretching
    for z in (x, y):
        torch.testing.assert_close(cka(z, z, debiased=debiased), torch.tensor(1.0, dtype=torch.float64))
        torch.testing.assert_close(cka(z, 2 * z + 1, debiased=debiased), torch.tensor(1.0, dtype=torch.float64))


def test_maps_are_averaged_down_to_seven() -> None:
    x, y = draw(6, 3, 14, 14, seed=0), draw(6, 4, seed=1)
    torch.testing.assert_close(cka(x, y), cka(F.avg_pool2d(x, 2), y))
    torch.testing.assert_close(cka(x.movedim(1, 3), y), cka(x, y))
    small = draw(6, 3, 5, 5, seed=2)
    torch.testing.assert_close(cka(small, y), cka(small.flatten(1), y))


def test_half_precision_and_gradients_are_no_matter() -> None:
    x = draw(8, 3, 9, 9, seed=0).half().requires_grad_()
    value = cka(x, draw(8, 4, seed=1).float())
    assert value.dtype is torch.float64
    assert not value.requires_grad
    assert torch.isfinite(value)


def test_devices_without_float64_are_served(without_float64) -> None:
    x, y = draw(8, 3, 9, 9, seed=0).float(), draw(8, 4, seed=1).float()
    torch.testing.assert_close(cka(without_float64(x), without_float64(y)), cka(x, y))


def test_a_value_that_never_changes_has_no_similarity() -> None:
    assert cka(torch.ones(5, 3), draw(5, 3, seed=0)).isnan()


@pytest.mark.parametrize(
    ("shapes", "debiased", "message"),
    [
        (((5, 2), (6, 2)), True, r"of at least 4 samples on both sides, got shapes \(5, 2\) and \(6, 2\)\.$"),
        (((3, 2), (3, 2)), True, r"of at least 4 samples on both sides, got shapes \(3, 2\) and \(3, 2\)\.$"),
        (((1, 2), (1, 2)), False, r"of at least 2 samples on both sides, got shapes \(1, 2\) and \(1, 2\)\.$"),
        (((5,), (5, 1)), True, r"got shapes \(5,\) and \(5, 1\)\.$"),
    ],
)
def test_refusals(shapes: tuple[tuple[int, ...], ...], debiased: bool, message: str) -> None:
    x, y = (torch.zeros(shape) for shape in shapes)
    with pytest.raises(StillroomError, match=f"^CKA compares two representations of the same samples; .*{message}"):
        cka(x, y, debiased=debiased)
