"""Hyper-parameters: the checks that losses share."""

from __future__ import annotations

import math
from collections.abc import Sequence

from stillroom.errors import StillroomError, did_you_mean


def check_option(name: str, value: str, options: Sequence[str]) -> None:
    """Refuses a word that is not among the options.

    Raises:
        StillroomError: it names the argument, the value, the options and the nearest of them.
    """
    if value not in options:
        raise StillroomError(
            f"unknown {name} {value!r}", expected=" or ".join(options), fix=did_you_mean(value, options)
        )


def check_at_least(name: str, value: float, least: float, problem: str) -> None:
    """Refuses a number that is below ``least``, infinite or none.

    Raises:
        StillroomError: it names the argument.
    """
    if not least <= value < math.inf:
        raise StillroomError(problem, expected=f"{name} >= {least} and finite", got=value)
