"""What connectors refuse: bad arguments when they are built, a feature of the wrong shape when they are called."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from torch import Tensor, nn

from stillroom.errors import StillroomError, did_you_mean


def at_least(least: int, **arguments: object) -> None:
    """Refuses a named argument that is no whole number, or one below ``least``."""
    for name, value in arguments.items():
        if not isinstance(value, int) or value < least:
            raise StillroomError(f"{name} must be a whole number, at least {least}", got=repr(value))


def one_of(name: str, value: str, options: Collection[str]) -> None:
    """Refuses a name that means nothing; says which is nearest."""
    if value not in options:
        raise StillroomError(f"unknown {name}", got=repr(value), fix=did_you_mean(str(value), options))


def pair(name: str, value: int | Sequence[int]) -> tuple[int, int]:
    """Height and width; one number stands for both.

    Raises:
        StillroomError: these are not one or two whole numbers of at least 1.
    """
    both = (value, value) if isinstance(value, int) else tuple(value)
    if len(both) != 2:
        raise StillroomError(f"{name} must be one number or two, height and width", got=repr(value))
    at_least(1, **{name: both[0]})
    at_least(1, **{name: both[1]})
    return both


def expect_map(reader: nn.Module, x: object, channels: int | None = None) -> None:
    """Refuses anything but a map (N, C, H, W), of so many channels where a number is given."""
    if isinstance(x, Tensor) and x.ndim == 4 and channels in (None, x.shape[1]):
        return  # every step comes here
    raise unreadable(reader, x, f"a map (N, {'C' if channels is None else channels}, H, W)")


def expect_tokens(reader: nn.Module, x: object) -> None:
    """Refuses anything but tokens (N, L, D)."""
    if not isinstance(x, Tensor) or x.ndim != 3:
        raise unreadable(reader, x, "tokens (N, L, D)")


def expect_width(reader: nn.Module, x: object, width: int) -> None:
    """Refuses anything but a batch of vectors, of tokens, or of more, whose last axis is so wide."""
    if not isinstance(x, Tensor) or x.ndim < 2 or x.shape[-1] != width:
        raise unreadable(reader, x, f"vectors (N, {width}) or tokens (N, L, {width})")


def unreadable(reader: nn.Module, x: object, expected: str) -> StillroomError:
    """The error of a connector that got something else than it reads."""
    return StillroomError(f"{type(reader).__name__} cannot read this feature", expected=expected, got=_shown(x))


def _shown(x: object) -> str:
    if isinstance(x, Tensor):
        return f"a tensor of shape {tuple(x.shape)}"
    return f"a {type(x).__name__} of {len(x)}" if isinstance(x, tuple | list) else f"a {type(x).__name__}"
