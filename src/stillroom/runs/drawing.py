"""Boxes with the names of their classes, drawn on copies of images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
from PIL import Image, ImageDraw, ImageFont

# Of one tone, dark enough for white letters.
COLOURS = ("#1f6fbf", "#c2410c", "#0f766e", "#7e3fa8", "#8a6a00", "#be2f4e", "#4d7c0f", "#475569", "#0e7490", "#a21caf")
TRUTH = "#ffffff"
FONT = "fonts/ttf/DejaVuSans-Bold.ttf"

Corners = tuple[float, float, float, float]


@dataclass(frozen=True)
class Box:
    """An object that was found: its class, how sure the model is (0 to 1), and its corners x1, y1, x2, y2 in pixels."""

    name: str
    score: float
    corners: Corners
    label: int


def drawn(
    image: Image.Image, boxes: Sequence[Box], *, scale: float = 1.0, truth: Sequence[Corners] = ()
) -> Image.Image:
    """A copy with boxes, their names and scores, the surest on top; the letters grow with the image.

    Args:
        image: in RGB.
        boxes: the surest first; a class has the same colour everywhere.
        scale: the copy is so many times as large.
        truth: further boxes, thin and white.
    """
    copy = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(copy)
    size = max(12, max(copy.size) // 60)
    font = ImageFont.truetype(Path(matplotlib.get_data_path()) / FONT, size)
    for corners in truth:
        draw.rectangle(_inside(corners, scale, copy), outline=TRUTH, width=1)
    for box in reversed(boxes):
        colour, corners = COLOURS[box.label % len(COLOURS)], _inside(box.corners, scale, copy)
        draw.rectangle(corners, outline=colour, width=max(2, size // 6))
        _write(draw, copy, f"{box.name} {100 * box.score:.0f}", corners, colour, font)
    return copy


def _inside(corners: Corners, scale: float, image: Image.Image) -> Corners:
    """The corners in pixels of the copy, all of which lie within it."""
    left, top, right, bottom = (scale * corner for corner in corners)
    across, down = image.width - 1, image.height - 1
    return min(max(left, 0), across), min(max(top, 0), down), min(max(right, 0), across), min(max(bottom, 0), down)


def _write(
    draw: ImageDraw.ImageDraw,
    image: Image.Image,
    text: str,
    corners: Corners,
    colour: str,
    font: ImageFont.FreeTypeFont,
) -> None:
    """Above the box where there is room, else in it; moved to the left where it would end beyond the image."""
    left, top, _, _ = corners
    _, _, width, height = draw.textbbox((0, 0), text, font=font)
    x, y = max(0, min(left, image.width - width - 4)), top - height - 3
    y = y if y >= 0 else top
    draw.rectangle((x, y, x + width + 3, y + height + 3), fill=colour)
    draw.text((x + 2, y + 1), text, fill="white", font=font)
