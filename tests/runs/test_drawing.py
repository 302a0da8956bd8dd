"""Boxes on copies of images."""

from __future__ import annotations

import pytest
from PIL import Image, ImageColor

from stillroom.runs.drawing import COLOURS, Box, drawn

GREY = (90, 90, 90)


def blank(width: int = 200, height: int = 150) -> Image.Image:
    return Image.new("RGB", (width, height), GREY)


def colour(place: int) -> tuple[int, ...]:
    return ImageColor.getrgb(COLOURS[place])


def colours_of(image: Image.Image) -> set[tuple[int, ...]]:
    return {colour for _, colour in image.getcolors(maxcolors=1 << 20)}


def test_the_image_itself_stays_as_it_is() -> None:
    image = blank()
    copy = drawn(image, [Box("cat", 0.9, (20, 60, 120, 140), 0)])
    assert colours_of(image) == {GREY}
    assert copy.size == image.size
    assert colour(0) in colours_of(copy)
    for point in ((20, 100), (120, 100), (70, 60), (70, 140)):
        assert copy.getpixel(point) == colour(0)
    assert copy.getpixel((70, 100)) == GREY


def test_a_copy_that_is_larger_has_its_boxes_where_they_were() -> None:
    copy = drawn(blank(20, 15), [Box("cat", 0.9, (2, 10, 12, 14), 3)], scale=10)
    assert copy.size == (200, 150)
    assert copy.getpixel((70, 100)) == copy.getpixel((20, 120)) == colour(3)


def test_classes_have_colours_and_the_surest_is_on_top() -> None:
    corners = (20.0, 60.0, 120.0, 140.0)
    copy = drawn(blank(), [Box("cat", 0.9, corners, 1), Box("dog", 0.4, corners, 1 + len(COLOURS) + 1)])
    assert colour(1) in colours_of(copy)
    assert copy.getpixel((20, 100)) == colour(1)
    assert drawn(blank(), [Box("dog", 0.4, corners, 2 + len(COLOURS))]).getpixel((20, 100)) == colour(2)


@pytest.mark.parametrize(
    "corners", [(-30, -30, 400, 400), (199, 149, 200, 150), (0, 0, 0, 0), (150, 0, 260, 5), (190, 100, 199, 149)]
)
def test_boxes_and_words_stay_inside(corners: tuple[float, float, float, float]) -> None:
    """Wherever the box is, the whole of the words can be read."""
    there = drawn(blank(), [Box("umbrella", 0.5, (40, 60, 120, 140), 0)])
    copy = drawn(blank(), [Box("umbrella", 0.5, corners, 0)])
    letters = [
        sum(count for count, found in image.getcolors(1 << 20) if found == (255, 255, 255)) for image in (there, copy)
    ]
    assert letters[0] > 30
    assert letters[1] >= 0.9 * letters[0]


def test_what_is_there_is_thin_and_white() -> None:
    copy = drawn(blank(), [], truth=[(20, 30, 90, 80)])
    assert colours_of(copy) == {GREY, (255, 255, 255)}
    assert copy.getpixel((20, 50)) == (255, 255, 255)
    assert copy.getpixel((21, 50)) == GREY


def test_letters_grow_with_the_image() -> None:
    heights = []
    for side in (300, 3000):
        copy = drawn(blank(side, side), [Box("cat", 0.9, (0.5 * side, 0.5 * side, 0.9 * side, 0.9 * side), 0)])
        column = [copy.getpixel((side // 2 + 1, y)) for y in range(side // 2)]
        heights.append(sum(value != GREY for value in column))
    assert heights[0] < 25
    assert heights[1] > 45
