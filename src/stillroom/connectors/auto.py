"""The connector that follows from two shapes."""

from __future__ import annotations

from torch import nn

from stillroom.connectors.conv1x1 import Conv1x1
from stillroom.connectors.identity import Identity
from stillroom.connectors.linear import Linear
from stillroom.errors import StillroomError


def infer(have: tuple[int, ...], want: tuple[int, ...]) -> nn.Module:
    """The connector from a student's feature to a teacher's, what ``connector="auto"`` stands for.

    Args:
        have: shape of the student's feature, batch first.
        want: shape of the teacher's.

    Returns:
        ``Identity`` for equal shapes, ``Conv1x1`` for maps (N, C, H, W) that differ in C, ``Linear`` for vectors (N, D)
        and tokens (N, L, D) that differ in D.

    Raises:
        StillroomError: the shapes differ in anything else.
    """
    if have == want:
        return Identity()
    if len(have) == len(want) == 4 and (have[0], *have[2:]) == (want[0], *want[2:]):
        return Conv1x1(have[1], want[1])
    if len(have) == len(want) in (2, 3) and have[:-1] == want[:-1]:
        return Linear(have[-1], want[-1])
    raise StillroomError(
        'connector "auto" cannot adapt these shapes',
        expected="maps of equal height and width, or vectors or tokens of equal number",
        got=f"student {have}, teacher {want}",
        fix="Choose sites of equal resolution, or give a connector of your own: any nn.Module.",
    )
