"""Two choices of boxes are compared whatever their order."""

from __future__ import annotations

import re

import pytest
import torch
from torch import Tensor

from stillroom.errors import StillroomError
from stillroom.export import same_choices

COUNT = 60
Choice = list[Tensor]


def choice(seed: int = 0, *, empty: int = 10) -> Choice:
    """Of two images, the last places of which are not filled."""
    generator = torch.Generator().manual_seed(seed)
    boxes, scores = 300 * torch.rand(2, COUNT, 4, generator=generator), torch.rand(2, COUNT, generator=generator)
    labels = torch.randint(3, (2, COUNT), generator=generator)
    labels[:, COUNT - empty :] = -1
    there = labels >= 0
    return [boxes * there.unsqueeze(-1), scores * there, labels]


def changed(found: Choice, *, rows: int, by: float, what: int = 0) -> Choice:
    copy = [value.clone() for value in found]
    copy[what][0, :rows] += by
    return copy


def test_the_order_does_not_count() -> None:
    found = choice()
    order = torch.randperm(COUNT, generator=torch.Generator().manual_seed(1))
    assert same_choices(found, [value[:, order] for value in found], 1e-4) == 0


def test_rounding_is_told() -> None:
    found = choice()
    assert same_choices(found, changed(found, rows=3, by=0.01), 1e-4) == pytest.approx(0.01, rel=1e-2)
    assert same_choices(found, changed(found, rows=3, by=5e-5, what=1), 1e-4) == pytest.approx(5e-5, rel=1e-2)


def test_a_box_or_two_may_be_another() -> None:
    """Of 100 boxes of each: 2 of 200 that the other has not chosen are fine."""
    found = choice()
    assert same_choices(found, changed(found, rows=2, by=40.0), 1e-4) == 0


@pytest.mark.parametrize(("what", "by"), [(0, 40.0), (0, 0.1), (1, 0.001), (2, 1)])
def test_much_that_is_another(what: int, by: float) -> None:
    found = choice()
    message = (
        "the model answers differently after it was read back, so no file was kept; expected the same boxes, up to 2 % "
        "(tolerance 0.0001), got 10 of 200 boxes that the other does not choose."
    )
    with pytest.raises(StillroomError, match=f"^{re.escape(message)}"):
        same_choices(found, changed(found, rows=5, by=by, what=what), 1e-4)


def test_what_is_missing_counts() -> None:
    found = choice()
    fewer = [found[0], found[1], found[2].masked_fill(torch.arange(COUNT) > 40, -1)]
    with pytest.raises(StillroomError, match="got 18 of 182 boxes that the other does not choose"):
        same_choices(found, fewer, 1e-4)


def test_nothing_is_the_same_as_nothing() -> None:
    nothing = choice(empty=COUNT)
    assert same_choices(nothing, nothing, 1e-4) == 0
    with pytest.raises(StillroomError, match="got 100 of 100 boxes"):
        same_choices(nothing, choice(), 1e-4)
