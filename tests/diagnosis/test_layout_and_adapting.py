"""What the axes of a tensor mean, and the connectors that follow from it."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

from stillroom.connectors import infer
from stillroom.diagnosis.adapting import _inferred, adapter
from stillroom.diagnosis.layout import Layout, layout_of
from stillroom.diagnosis.stages import Stage


@pytest.mark.parametrize(
    ("shape", "layout"),
    [
        ((2, 64, 56, 56), Layout("map", 64, 56, 4)),
        ((2, 512, 7, 7), Layout("map", 512, 7, 32)),
        ((2, 5, 4, 4), None),
        ((2, 64, 55, 55), Layout("map", 64, 55, 4)),
        ((2, 3, 224, 224), Layout("map", 3, 224, 1)),
        ((2, 56, 56, 96), Layout("map, channels last", 96, 56, 4)),
        ((2, 56, 56, 56), Layout("map", 56, 56, 4)),
        ((2, 196, 192), Layout("tokens", 192, 14, 16)),
        ((2, 197, 192), Layout("tokens", 192, 14, 16, 1)),
        ((2, 198, 192), Layout("tokens", 192, 14, 16, 2)),
        ((2, 261, 384), Layout("tokens", 384, 16, 16, 5)),
        ((2, 10), Layout("vector", 10, 1, 0)),
        ((2, 512, 1, 1), None),  # pooled
        ((2, 3, 448, 448), None),  # larger than the image
        ((2, 64, 56, 28), None),
        ((2, 195, 192), None),
        ((2, 1, 192), None),
        ((128, 49, 96), None),  # windows in the place of images
        ((2, 8, 3, 7, 7), None),
        ((2,), None),
        ((), None),
        ((2, 0, 7, 7), None),
    ],
)
def test_layouts(shape: tuple[int, ...], layout: Layout | None) -> None:
    assert layout_of(shape, batch=2, size=224) == layout


def test_small_images_may_end_in_one_pixel() -> None:
    assert layout_of((4, 512, 1, 1), batch=4, size=28) == Layout("map", 512, 1, 32)
    assert layout_of((4, 4, 4, 4), batch=4, size=8) == Layout("map", 4, 4, 2)


MAPS = [(2, 6, 8, 8), (2, 5, 8, 8), (2, 4, 4, 4), (2, 4, 2, 2), (2, 4, 3, 3), (2, 8, 7, 7)]
OTHERS = [(2, 17, 5), (2, 16, 5), (2, 17, 6), (2, 8)]


@pytest.mark.parametrize(("have", "want"), list(itertools.product([*MAPS, *OTHERS[:3]], repeat=2)))
def test_the_steps_are_those_that_auto_takes(have: tuple[int, ...], want: tuple[int, ...]) -> None:
    if (len(have), len(want)) == (3, 3) and have[1] != want[1]:
        return
    made = nn.Sequential(*(step.make() for step in _inferred(have, want)))
    inferred = infer(have, want)
    assert [tuple(p.shape) for p in made.parameters()] == [tuple(p.shape) for p in inferred.parameters()]
    for mine, theirs in zip(made.parameters(), inferred.parameters(), strict=True):
        mine.data.copy_(theirs.data)
    feature = torch.randn(have)
    assert made(feature).shape == want
    torch.testing.assert_close(made(feature), inferred(feature))


def _stage(shape: tuple[int, ...]) -> Stage:
    return Stage("x", "X", shape, layout_of(shape, batch=2, size=32), True, "X")


ALL = [*MAPS, *OTHERS[:3], (2, 8, 8, 5), (2, 8, 8, 6), (2, 4, 4, 3), (2, 18, 5)]


@pytest.mark.parametrize(("have", "want"), list(itertools.product(ALL, repeat=2)))
def test_adapted_shapes_are_equal(have: tuple[int, ...], want: tuple[int, ...]) -> None:
    found = adapter(_stage(have), _stage(want))
    steps = [nn.Sequential(*(step.make() for step in side)) for side in (found.student, found.teacher)]
    assert steps[0](torch.randn(have)).shape == steps[1](torch.randn(want)).shape


def test_a_map_is_brought_into_order_not_only_into_shape() -> None:
    """Equal numbers at equal places: what is one in one layout is one in the other."""
    x = torch.randn(2, 3, 4, 4)
    found = adapter(_stage((2, 3, 4, 4)), _stage((2, 4, 4, 3)))
    (flatten, to_map) = found.teacher_connector
    assert found.connector is None
    torch.testing.assert_close(to_map(flatten(x.movedim(1, 3))), x)
