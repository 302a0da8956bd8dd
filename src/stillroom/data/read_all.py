"""Many files, and one error that says what is wrong with them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from stillroom.errors import StillroomError

NAMED = 5
"""Files that an error names."""

T = TypeVar("T")
R = TypeVar("R")


def read_all(items: Iterable[T], read: Callable[[T], R], *, what: str, where: str) -> list[R]:
    """What ``read`` makes of each item; all are tried before anything is refused.

    Args:
        items: such as paths.
        read: raises a ``StillroomError`` for one that is wrong.
        what: they are, in the plural.
        where: they lie.

    Raises:
        StillroomError: the only one that there was, or one that tells how many there were and names up to five.
    """
    made: list[R] = []
    refused: list[StillroomError] = []
    for item in items:
        try:
            made.append(read(item))
        except StillroomError as error:
            refused.append(error)
    if len(refused) == 1:
        raise refused[0]
    if refused:
        raise StillroomError(
            f"{len(refused):,} of {len(made) + len(refused):,} {what} cannot be read",
            where=where,
            got="; ".join(str(error).rstrip(".") for error in refused[:NAMED])
            + (f"; and {len(refused) - NAMED:,} more" if len(refused) > NAMED else ""),
        ) from refused[0]
    return made
