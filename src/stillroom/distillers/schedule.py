"""Schedules: the weight of a term over time.

Time is counted in epochs (the first is 0) or in optimizer steps. A weight of 0 means that the term is not computed, and
a teacher that no remaining term needs is not run.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from numbers import Real
from typing import Literal, TypeVar, get_args

from stillroom.errors import StillroomError, did_you_mean

Unit = Literal["epoch", "step"]
Shape = Literal["linear", "cosine"]
Choice = TypeVar("Choice", bound=str)


class Schedule(ABC):
    """A weight that depends on the time."""

    @abstractmethod
    def __call__(self, *, epoch: int, step: int) -> float:
        """The weight in this epoch and optimiser step, both counted from 0."""


class Constant(Schedule):
    """The same weight always.

    Args:
        weight: the weight.
    """

    def __init__(self, weight: float) -> None:
        self.weight = _finite(weight)

    def __call__(self, *, epoch: int, step: int) -> float:
        return self.weight


class WarmUp(Schedule):
    """Linear rise: ``weight * min((time + 1) / duration, 1)``, so that the first epoch counts as 1 (DKD, ReviewKD).

    Args:
        weight: the weight in the end.
        duration: epochs or steps until then, at least 1.
        unit: what the duration counts.
    """

    def __init__(self, weight: float, *, duration: int, unit: Unit = "epoch") -> None:
        _at_least("duration", duration, 1)
        self.weight, self.duration = _finite(weight), duration
        self.unit: Unit = _one_of("unit", unit, get_args(Unit))

    def __call__(self, *, epoch: int, step: int) -> float:
        return self.weight * min((_now(self.unit, epoch, step) + 1) / self.duration, 1.0)


class Decay(Schedule):
    """Fall from ``weight`` to 0 between two times; before and after it stays at the end it is nearest to.

    With ``p = (time - start) / (end - start)``: linear ``weight * (1 - p)``, cosine ``weight * (1 + cos(pi p)) / 2``.

    Args:
        weight: the weight until ``start``.
        start: the time at which the fall begins, at least 0.
        end: the time at which the weight is 0, after ``start``.
        shape: of the fall.
        unit: what the times count.
    """

    def __init__(
        self,
        weight: float,
        *,
        end: int,
        start: int = 0,
        shape: Shape = "linear",
        unit: Unit = "epoch",
    ) -> None:
        _at_least("start", start, 0)
        _at_least("end", end, start + 1)
        self.weight, self.start, self.end = _finite(weight), start, end
        self.shape: Shape = _one_of("shape", shape, get_args(Shape))
        self.unit: Unit = _one_of("unit", unit, get_args(Unit))

    def __call__(self, *, epoch: int, step: int) -> float:
        passed = (_now(self.unit, epoch, step) - self.start) / (self.end - self.start)
        passed = min(max(passed, 0.0), 1.0)
        left = 1 - passed if self.shape == "linear" else (1 + math.cos(math.pi * passed)) / 2
        return self.weight * left


class Between(Schedule):
    """The weight while ``start <= time < stop``, and 0 outside.

    Args:
        weight: a number, or the schedule that holds inside.
        start: the first epoch or step with the term, at least 0.
        stop: the first one without it again; None for never.
        unit: what the times count.
    """

    def __init__(
        self, weight: float | Schedule, *, start: int = 0, stop: int | None = None, unit: Unit = "epoch"
    ) -> None:
        _at_least("start", start, 0)
        if stop is not None:
            _at_least("stop", stop, start + 1)
        self.weight, self.start, self.stop = as_schedule(weight), start, stop
        self.unit: Unit = _one_of("unit", unit, get_args(Unit))

    def __call__(self, *, epoch: int, step: int) -> float:
        now = _now(self.unit, epoch, step)
        inside = self.start <= now and (self.stop is None or now < self.stop)
        return self.weight(epoch=epoch, step=step) if inside else 0.0


def as_schedule(weight: float | Schedule) -> Schedule:
    """A number as a constant schedule.

    Raises:
        StillroomError: the number is not finite.
    """
    return weight if isinstance(weight, Schedule) else Constant(weight)


def _now(unit: Unit, epoch: int, step: int) -> int:
    return epoch if unit == "epoch" else step


def _finite(weight: object) -> float:
    if not isinstance(weight, Real) or not math.isfinite(weight):
        raise StillroomError("a weight must be a finite number", where="weight", got=repr(weight))
    return float(weight)


def _one_of(name: str, value: Choice, options: tuple[str, ...]) -> Choice:
    if value not in options:
        raise StillroomError(
            f"there is no {name} {value!r}", expected=" or ".join(options), fix=did_you_mean(value, options)
        )
    return value


def _at_least(name: str, value: int, least: int) -> None:
    if value < least:
        raise StillroomError(f"{name} is too small", expected=f"at least {least}", got=value)
