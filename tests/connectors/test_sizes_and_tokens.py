"""Maps of other sizes, and tokens as maps and back."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from stillroom import StillroomError
from stillroom.connectors import ConvRegressor, MapToTokens, Pool, Resize, TokensToMap

# FitNets' regressor


@pytest.mark.parametrize(
    ("have", "want", "layer", "kernel", "stride"),
    [
        (8, 4, nn.Conv2d, (3, 3), (2, 2)),
        (4, 8, nn.ConvTranspose2d, (4, 4), (2, 2)),
        (8, 8, nn.Conv2d, (1, 1), (1, 1)),
        (8, 7, nn.Conv2d, (2, 2), (1, 1)),
        (8, 3, nn.Conv2d, (6, 6), (1, 1)),
        ((8, 9), (4, 5), nn.Conv2d, (3, 5), (2, 1)),
        ((8, 4), (8, 8), nn.ConvTranspose2d, (1, 4), (1, 2)),
    ],
)
def test_regressor_has_the_kernel_that_the_sizes_ask_for(have, want, layer, kernel, stride) -> None:
    connector = ConvRegressor(3, 5, in_size=have, out_size=want)
    assert type(connector.conv) is layer
    assert (connector.conv.kernel_size, connector.conv.stride) == (kernel, stride)
    height, width = (have, have) if isinstance(have, int) else have
    wanted = (want, want) if isinstance(want, int) else want
    y = connector(torch.randn(2, 3, height, width))
    assert y.shape == (2, 5, *wanted)
    assert (y >= 0).all()


def test_regressor_without_activation_ends_with_the_norm() -> None:
    connector, x = ConvRegressor(3, 5, in_size=6, out_size=4, activation=None).eval(), torch.randn(2, 3, 6, 6)
    expected = F.conv2d(x, connector.conv.weight) / (1 + 1e-5) ** 0.5
    torch.testing.assert_close(connector(x), expected)


@pytest.mark.parametrize(
    ("have", "want", "got"),
    [
        (4, 7, "student (4, 4), teacher (7, 7)"),
        ((8, 4), (4, 8), "student (8, 4), teacher (4, 8)"),
        ((8, 8), (4, 9), "student (8, 8), teacher (4, 9)"),
    ],
)
def test_regressor_refuses_sizes_that_it_cannot_reach(have, want, got: str) -> None:
    message = (
        "no convolution of this kind takes one size to the other; expected a map as large as the teacher's, larger, or "
        f"half as large, got {got}."
    )
    with pytest.raises(StillroomError, match=f"^{re.escape(message)}"):
        ConvRegressor(3, 5, in_size=have, out_size=want)


def test_regressor_refuses_maps_of_another_size() -> None:
    message = r"^ConvRegressor was built for maps of another size; expected \(8, 8\), got \(8, 6\)\.$"
    with pytest.raises(StillroomError, match=message):
        ConvRegressor(3, 5, in_size=8, out_size=4)(torch.zeros(2, 3, 8, 6))


# Resize and Pool


def bilinear(x: list[float], wanted: int) -> list[float]:
    """Of a row: pixel i of the result lies at (i + 1/2) · have / wanted − 1/2, and takes from its two neighbours."""
    found = []
    for i in range(wanted):
        at = min(max((i + 0.5) * len(x) / wanted - 0.5, 0), len(x) - 1)
        left = int(at)
        right = min(left + 1, len(x) - 1)
        found.append(x[left] + (at - left) * (x[right] - x[left]))
    return found


@pytest.mark.parametrize("wanted", [3, 5, 8, 11])
def test_bilinear_resize_equals_the_formula(wanted: int) -> None:
    row = torch.randn(5).double()
    got = Resize((1, wanted))(row.view(1, 1, 1, 5))
    torch.testing.assert_close(got.flatten(), torch.tensor(bilinear(row.tolist(), wanted)).double())


def test_nearest_resize_repeats_pixels() -> None:
    x = torch.tensor([[[[1.0, 2.0]]]])
    assert Resize(scale=2, mode="nearest")(x).tolist() == [[[[1.0, 1.0, 2.0, 2.0]] * 2]]


def test_resize_to_its_own_size_is_the_map_itself() -> None:
    x = torch.randn(2, 3, 4, 6)
    assert Resize((4, 6))(x) is x
    assert Resize(scale=1)(x) is x


def test_pool_averages_equal_parts_or_all() -> None:
    x = torch.arange(16.0).view(1, 1, 4, 4)
    assert Pool(2)(x).tolist() == [[[[2.5, 4.5], [10.5, 12.5]]]]
    assert Pool()(x).tolist() == [[7.5]]
    assert Pool()(x.view(1, 8, 2)).tolist() == [[7.0, 8.0]]


# Tokens


def test_tokens_lie_row_by_row_behind_the_leading_ones() -> None:
    tokens = torch.arange(8.0).view(1, 8, 1)
    expected = [[[[2.0, 3.0, 4.0], [5.0, 6.0, 7.0]]]]
    for connector in (TokensToMap(grid=(2, 3)), TokensToMap(prefix=2, grid=(2, 3))):
        assert connector(tokens).tolist() == expected


def test_leading_tokens_are_the_mean_of_the_map() -> None:
    x = torch.tensor([[[[1.0, 2.0], [3.0, 6.0]]]])
    assert MapToTokens(prefix=2)(x).flatten().tolist() == [3.0, 3.0, 1.0, 2.0, 3.0, 6.0]


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 7), st.integers(1, 7), st.integers(0, 5))
def test_map_to_tokens_and_back_is_the_map(height: int, width: int, prefix: int) -> None:
    x = torch.randn(2, 3, height, width)
    tokens = MapToTokens(prefix=prefix)(x)
    assert torch.equal(TokensToMap(prefix=prefix, grid=(height, width))(tokens), x)
    assert torch.equal(TokensToMap(grid=(height, width))(tokens), x)
    assert torch.equal(MapToTokens()(TokensToMap(grid=(height, width))(tokens)), tokens[:, prefix:])


@pytest.mark.parametrize(
    ("connector", "length", "message"),
    [
        (
            TokensToMap(),
            23,
            "expected a square number after 0, 1, 2, 4 or 5 leading tokens, got 23 tokens. Give the grid",
        ),
        (TokensToMap(prefix=3), 17, "expected a square number after 3 leading tokens, got 17 tokens. Give the grid"),
        (TokensToMap(prefix=3), 2, "expected a square number after 3 leading tokens, got 2 tokens. Give the grid"),
        (TokensToMap(grid=(2, 3)), 5, "this grid; expected any number + 2 x 3 tokens, got 5 tokens."),
        (TokensToMap(prefix=1, grid=(2, 3)), 8, "this grid; expected 1 + 2 x 3 tokens, got 8 tokens."),
    ],
)
def test_tokens_that_form_no_grid_are_refused(connector: nn.Module, length: int, message: str) -> None:
    with pytest.raises(StillroomError, match=f"^the tokens .*{re.escape(message)}"):
        connector(torch.zeros(2, length, 3))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Resize(), "Resize needs either a size or a scale; got size=None, scale=None."),
        (lambda: Resize(4, scale=2), "Resize needs either a size or a scale; got size=4, scale=2."),
        (lambda: Resize(scale=0.0), "scale must be a finite number above 0; got 0.0."),
        (lambda: Resize((4, 0)), "size must be a whole number, at least 1; got 0."),
        (lambda: Resize(4, mode="linear"), "unknown mode; got 'linear'. Did you mean 'bilinear' or 'nearest'?"),
        (lambda: Pool((1, 2, 3)), "size must be one number or two, height and width; got (1, 2, 3)."),
        (lambda: MapToTokens(prefix=-1), "prefix must be a whole number, at least 0; got -1."),
        (lambda: TokensToMap(prefix=-2), "prefix must be a whole number, at least 0; got -2."),
        (lambda: TokensToMap(grid=0), "grid must be a whole number, at least 1; got 0."),
        (
            lambda: Resize(4)(torch.zeros(2, 3)),
            "Resize cannot read this feature; expected a map (N, C, H, W), got a tensor of shape (2, 3).",
        ),
        (
            lambda: Pool()(torch.zeros(2, 3)),
            "Pool cannot read this feature; expected a map (N, C, H, W) or tokens (N, L, D), got a tensor of shape "
            "(2, 3).",
        ),
        (
            lambda: TokensToMap()(torch.zeros(2, 3)),
            "TokensToMap cannot read this feature; expected tokens (N, L, D), got a tensor of shape (2, 3).",
        ),
        (
            lambda: MapToTokens()(torch.zeros(2, 3)),
            "MapToTokens cannot read this feature; expected a map (N, C, H, W), got a tensor of shape (2, 3).",
        ),
    ],
)
def test_sizes_out_of_range_are_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(StillroomError, match=f"^{re.escape(message)}"):
        make()
