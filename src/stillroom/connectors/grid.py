"""How the tokens of a vision transformer lie on the image."""

from __future__ import annotations

import math

from stillroom.errors import StillroomError

PREFIXES = (0, 1, 2, 4, 5)
"""Usual numbers of tokens before those of the image: none, class, class and distillation, registers without and with a
class token."""


def square_grid(length: int, prefix: int | None = None) -> tuple[int, int] | None:
    """The number of leading tokens and the side of the square that the others form.

    Args:
        length: number of tokens.
        prefix: how many are no part of the image; None for the smallest of the usual numbers that leaves a square.

    Returns:
        None where they form no square.
    """
    for leading in PREFIXES if prefix is None else (prefix,):
        side = math.isqrt(max(length - leading, 0))
        if side > 0 and side * side == length - leading:
            return leading, side
    return None


def grid_of(length: int, prefix: int | None, grid: tuple[int, int] | None) -> tuple[int, tuple[int, int]]:
    """The number of leading tokens, and height and width of the grid that the others form.

    Raises:
        StillroomError: they form no square, or not the given grid.
    """
    if grid is not None:
        leading = length - grid[0] * grid[1]
        if leading >= 0 and prefix in (None, leading):
            return leading, grid
        expected = f"{'any number' if prefix is None else prefix} + {grid[0]} x {grid[1]} tokens"
        raise StillroomError("the tokens do not form this grid", expected=expected, got=f"{length} tokens")
    found = square_grid(length, prefix)
    if found is None:
        before = f"{', '.join(map(str, PREFIXES[:-1]))} or {PREFIXES[-1]}" if prefix is None else prefix
        raise StillroomError(
            "the tokens form no square",
            expected=f"a square number after {before} leading tokens",
            got=f"{length} tokens",
            fix="Give the grid, height and width: grid=(H, W); and prefix= where other tokens stand in front.",
        )
    return found[0], (found[1], found[1])
