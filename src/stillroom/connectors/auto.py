"""The connector that follows from two shapes."""

from __future__ import annotations

from torch import nn

from stillroom.connectors.conv1x1 import Conv1x1
from stillroom.connectors.conv_norm_act import ConvNormAct
from stillroom.connectors.grid import square_grid
from stillroom.connectors.identity import Identity
from stillroom.connectors.linear import Linear
from stillroom.connectors.map_to_tokens import MapToTokens
from stillroom.connectors.pool import Pool
from stillroom.connectors.resize import Resize
from stillroom.connectors.tokens_to_map import TokensToMap
from stillroom.errors import StillroomError

Shape = tuple[int, ...]


def infer(have: Shape, want: Shape) -> nn.Module:
    """The connector from a student's feature to a teacher's, what ``connector="auto"`` stands for.

    All of it is linear, and an ``nn.Sequential`` where it takes several steps.

    | from | to | connector |
    |---|---|---|
    | any | the same shape | ``Identity`` |
    | map (N, C, H, W) | map of equal size | ``Conv1x1`` |
    | map | map whose sides are 1/k of it | convolution with stride k, 3x3 for k = 2, else kxk |
    | map | larger map | ``Conv1x1``, then bilinear ``Resize``, by a factor if that is a whole number |
    | map | smaller map otherwise | ``Pool``, then ``Conv1x1`` |
    | map | tokens (N, L, D) | map to the square that the tokens form, as above; ``MapToTokens`` |
    | tokens | map | ``TokensToMap``, then map to map as above |
    | vectors (N, D), tokens | as many of another width | ``Linear`` |
    | map, tokens | vectors | ``Pool``, then ``Linear`` |

    The class and register tokens in front of those of the image are recognised as in :class:`TokensToMap`.

    Args:
        have: shape of the student's feature, batch first.
        want: shape of the teacher's.

    Returns:
        A module that takes (N, *have[1:]) to (N, *want[1:]).

    Raises:
        StillroomError: the batches differ, or the shapes are no such pair.
    """
    steps = _steps(have, want)
    if steps is None:
        raise StillroomError(
            'connector "auto" cannot adapt these shapes',
            expected="maps, vectors or equally many tokens on both sides, a map on one and a square of tokens on the "
            "other, or a map or tokens of the student and vectors of the teacher",
            got=f"student {have}, teacher {want}",
            fix="Choose other sites, or give a connector of your own: any nn.Module.",
        )
    return steps[0] if len(steps) == 1 else nn.Sequential(*steps)


def _steps(have: Shape, want: Shape) -> list[nn.Module] | None:
    if have == want:
        return [Identity()]
    if have[:1] != want[:1] or 0 in have or 0 in want:
        return None
    match len(have), len(want):
        case 4, 4:
            return _map_to_map(have, want)
        case 4, 3:
            return _map_to_tokens(have, want)
        case 3, 4:
            return _tokens_to_map(have, want)
        case (4, 2) | (3, 2):
            return [Pool(), Linear(have[1 if len(have) == 4 else 2], want[1])]
        case (3, 3) | (2, 2) if have[:-1] == want[:-1]:
            return [Linear(have[-1], want[-1])]
        case _:
            return None


def _map_to_map(have: Shape, want: Shape) -> list[nn.Module]:
    (_, channels, *size), (_, wanted, *goal) = have, want
    if size == goal:
        return [] if channels == wanted else [Conv1x1(channels, wanted)]
    if factor := _factor(size, goal):
        kernel, padding = (3, 1) if factor == 2 else (factor, 0)
        return [ConvNormAct(channels, wanted, kernel_size=kernel, stride=factor, padding=padding, norm=None)]
    if factor := _factor(goal, size):
        return [Conv1x1(channels, wanted), Resize(scale=factor)]
    if goal[0] <= size[0] and goal[1] <= size[1]:
        return [Pool((goal[0], goal[1])), Conv1x1(channels, wanted)]
    return [Conv1x1(channels, wanted), Resize((goal[0], goal[1]))]


def _factor(larger: list[int], smaller: list[int]) -> int:
    """By how much one size is larger in both directions; 0 where that is no whole number."""
    factor = larger[0] // smaller[0]
    return factor if larger == [factor * side for side in smaller] else 0


def _map_to_tokens(have: Shape, want: Shape) -> list[nn.Module] | None:
    if (found := square_grid(want[1])) is None:
        return None
    prefix, side = found
    return [*_map_to_map(have, (want[0], want[2], side, side)), MapToTokens(prefix=prefix)]


def _tokens_to_map(have: Shape, want: Shape) -> list[nn.Module] | None:
    if (found := square_grid(have[1])) is None:
        return None
    prefix, side = found
    return [TokensToMap(prefix=prefix), *_map_to_map((have[0], have[2], side, side), want)]
