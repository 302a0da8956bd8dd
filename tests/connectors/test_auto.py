""" "auto" finds the connector that follows from two shapes."""

from __future__ import annotations

import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from stillroom import StillroomError
from stillroom.connectors import Conv1x1, ConvNormAct, Identity, Linear, MapToTokens, Pool, Resize, TokensToMap, infer

Shape = tuple[int, ...]


def kinds(connector: nn.Module) -> list[type[nn.Module]]:
    return [type(part) for part in connector] if isinstance(connector, nn.Sequential) else [type(connector)]


@pytest.mark.parametrize(
    ("have", "want", "expected"),
    [
        ((2, 3, 4, 4), (2, 3, 4, 4), [Identity]),
        ((2, 3), (2, 3), [Identity]),
        ((2, 3, 4, 4, 4), (2, 3, 4, 4, 4), [Identity]),
        ((2, 3, 4, 6), (2, 8, 4, 6), [Conv1x1]),
        ((2, 3), (2, 8), [Linear]),
        ((2, 7, 3), (2, 7, 8), [Linear]),
        # maps of other sizes
        ((2, 3, 8, 6), (2, 8, 4, 3), [ConvNormAct]),
        ((2, 3, 8, 8), (2, 3, 4, 4), [ConvNormAct]),
        ((2, 3, 12, 6), (2, 8, 4, 2), [ConvNormAct]),
        ((2, 3, 4, 3), (2, 8, 8, 6), [Conv1x1, Resize]),
        ((2, 3, 4, 4), (2, 8, 7, 7), [Conv1x1, Resize]),
        ((2, 3, 4, 4), (2, 8, 8, 2), [Conv1x1, Resize]),
        ((2, 3, 7, 8), (2, 8, 4, 4), [Pool, Conv1x1]),
        ((2, 3, 8, 4), (2, 8, 4, 4), [Pool, Conv1x1]),
        # maps and tokens
        ((2, 3, 4, 4), (2, 16, 3), [MapToTokens]),
        ((2, 3, 4, 4), (2, 17, 8), [Conv1x1, MapToTokens]),
        ((2, 3, 8, 8), (2, 18, 8), [ConvNormAct, MapToTokens]),
        ((2, 3, 2, 2), (2, 20, 8), [Conv1x1, Resize, MapToTokens]),
        ((2, 3, 7, 5), (2, 21, 8), [Pool, Conv1x1, MapToTokens]),
        ((2, 16, 3), (2, 3, 4, 4), [TokensToMap]),
        ((2, 17, 3), (2, 8, 4, 4), [TokensToMap, Conv1x1]),
        ((2, 20, 3), (2, 8, 2, 2), [TokensToMap, ConvNormAct]),
        ((2, 21, 3), (2, 8, 8, 6), [TokensToMap, Conv1x1, Resize]),
        # vectors
        ((2, 3, 4, 4), (2, 8), [Pool, Linear]),
        ((2, 7, 3), (2, 8), [Pool, Linear]),
    ],
)
def test_auto_maps_one_shape_to_the_other(have: Shape, want: Shape, expected: list[type[nn.Module]]) -> None:
    connector = infer(have, want)
    assert kinds(connector) == expected
    assert connector(torch.randn(have)).shape == want


sides = st.integers(1, 9)
maps = st.tuples(st.just(2), st.integers(1, 4), sides, sides)
squares = st.builds(
    lambda prefix, side, width: (2, prefix + side * side, width),
    st.sampled_from([0, 1, 2, 4, 5]),
    st.integers(1, 6),
    st.integers(1, 4),
)


@settings(max_examples=60, deadline=None)
@given(st.one_of(st.tuples(maps, maps), st.tuples(maps, squares), st.tuples(squares, maps)))
def test_auto_reaches_exactly_the_teachers_shape_and_is_linear(shapes: tuple[Shape, Shape]) -> None:
    have, want = shapes
    connector = infer(have, want).double()
    x, y, zero = (torch.randn(have).double(), torch.randn(have).double(), torch.zeros(have).double())
    assert connector(x).shape == want
    torch.testing.assert_close(connector(x + y) + connector(zero), connector(x) + connector(y))


def test_auto_looks_at_every_pixel_when_it_strides() -> None:
    for have, want in (((1, 1, 8, 8), (1, 1, 4, 4)), ((1, 1, 9, 6), (1, 1, 3, 2)), ((1, 1, 8, 8), (1, 1, 2, 2))):
        x = torch.randn(have, requires_grad=True)
        connector = infer(have, want)
        nn.init.ones_(connector.conv.weight)
        connector(x).sum().backward()
        assert (x.grad > 0).all()


def test_auto_doubles_maps_whatever_their_size_in_the_next_batch() -> None:
    assert infer((2, 3, 4, 4), (2, 5, 8, 8))(torch.zeros(1, 3, 5, 7)).shape == (1, 5, 10, 14)


def test_auto_is_the_same_each_time_and_tells_what_it_is() -> None:
    have, want = (2, 3, 2, 2), (2, 20, 8)
    text = repr(infer(have, want))
    assert text == repr(infer(have, want))
    for part in ("Conv2d(3, 8", "Resize(scale=2, mode='bilinear')", "MapToTokens(prefix=4)"):
        assert part in text


def test_auto_recognises_the_tokens_of_vision_transformers() -> None:
    for length, prefix in ((196, 0), (197, 1), (198, 2), (200, 4), (201, 5), (256, 0), (257, 1), (1374, 5)):
        assert f"TokensToMap(prefix={prefix}, " in repr(infer((1, length, 2), (1, 3, 4, 4)))


@pytest.mark.parametrize(
    ("have", "want"),
    [
        ((2, 7, 3), (2, 9, 3)),
        ((2, 3), (4, 3)),
        ((2, 3, 4, 4), (4, 8, 4, 4)),
        ((2, 3, 4, 4, 4), (2, 8, 4, 4, 4)),
        ((2,), (3,)),
        ((2, 3), (2, 8, 4, 4)),
        ((2, 3), (2, 7, 3)),
        ((2, 3, 4, 4), (2, 23, 8)),
        ((2, 23, 8), (2, 3, 4, 4)),
        ((2, 3, 4, 4), (2, 8, 0, 4)),
    ],
)
def test_auto_refuses_what_it_cannot_adapt(have: Shape, want: Shape) -> None:
    message = (
        'connector "auto" cannot adapt these shapes; expected maps, vectors or equally many tokens on both sides, a '
        "map on one and a square of tokens on the other, or a map or tokens of the student and vectors of the teacher, "
        f"got student {have}, teacher {want}. Choose other sites, or give a connector of your own: any nn.Module."
    )
    with pytest.raises(StillroomError, match=f"^{re.escape(message)}$"):
        infer(have, want)
