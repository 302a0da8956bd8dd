"""The tokens of a vision transformer as a feature map."""

from __future__ import annotations

from typing import final

from torch import Tensor, nn

from stillroom.connectors.checks import at_least, expect_tokens, pair
from stillroom.connectors.grid import grid_of


@final
class TokensToMap(nn.Module):
    """Lays the tokens of an image out as a map, row by row, and leaves the class and register tokens out.

    Args:
        prefix: number of leading tokens that are no part of the image; None to recognise it: what the grid leaves, or
            else the smallest of 0, 1, 2, 4 and 5 that leaves a square number.
        grid: height and width of the map, or one number for both; None for a square.

    Shape:
        (N, prefix + H·W, D) to (N, D, H, W).

    Raises:
        StillroomError: for numbers out of range, for tokens that form no such grid, and for a feature of another rank.
    """

    def __init__(self, *, prefix: int | None = None, grid: int | tuple[int, int] | None = None) -> None:
        super().__init__()
        if prefix is not None:
            at_least(0, prefix=prefix)
        self.prefix, self.grid = prefix, None if grid is None else pair("grid", grid)

    def forward(self, tokens: Tensor) -> Tensor:
        expect_tokens(self, tokens)
        prefix, grid = grid_of(tokens.shape[1], self.prefix, self.grid)
        return tokens[:, prefix:].transpose(1, 2).unflatten(2, grid)

    def extra_repr(self) -> str:
        return f"prefix={self.prefix}, grid={self.grid}"
