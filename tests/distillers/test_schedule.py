"""The weight of a term over time."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

import pytest

from stillroom import Between, Constant, Decay, Schedule, StillroomError, WarmUp
from stillroom.distillers.schedule import as_schedule


def over_epochs(schedule: Schedule, times: range) -> list[float]:
    return [schedule(epoch=time, step=10_000) for time in times]


def over_steps(schedule: Schedule, times: range) -> list[float]:
    return [schedule(epoch=10_000, step=time) for time in times]


def test_constant() -> None:
    assert over_epochs(Constant(0.3), range(3)) == [0.3, 0.3, 0.3]


@pytest.mark.parametrize(("unit", "over"), [("epoch", over_epochs), ("step", over_steps)])
def test_warm_up_rises_from_the_first_time_on(unit: str, over: Callable[..., list[float]]) -> None:
    assert over(WarmUp(2.0, duration=4, unit=unit), range(6)) == [0.5, 1.0, 1.5, 2.0, 2.0, 2.0]


@pytest.mark.parametrize(("unit", "over"), [("epoch", over_epochs), ("step", over_steps)])
def test_linear_decay(unit: str, over: Callable[..., list[float]]) -> None:
    assert over(Decay(4.0, start=1, end=5, unit=unit), range(7)) == [4.0, 4.0, 3.0, 2.0, 1.0, 0.0, 0.0]


def test_cosine_decay() -> None:
    found = over_epochs(Decay(4.0, end=4, shape="cosine"), range(6))
    wanted = [2 * (1 + math.cos(math.pi * time / 4)) for time in range(4)]
    assert found == pytest.approx([*wanted, 0.0, 0.0], abs=1e-15)
    assert found[4] == 0.0  # exactly: the term is not computed any more


@pytest.mark.parametrize(("unit", "over"), [("epoch", over_epochs), ("step", over_steps)])
def test_between_holds_from_start_until_before_stop(unit: str, over: Callable[..., list[float]]) -> None:
    assert over(Between(0.5, start=1, stop=3, unit=unit), range(5)) == [0.0, 0.5, 0.5, 0.0, 0.0]
    assert over(Between(0.5, start=2, unit=unit), range(5)) == [0.0, 0.0, 0.5, 0.5, 0.5]


def test_between_of_a_warm_up_counts_the_time_of_the_training() -> None:
    assert over_epochs(Between(WarmUp(4.0, duration=4), start=1, stop=3), range(4)) == [0.0, 2.0, 3.0, 0.0]


def test_units_may_be_mixed() -> None:
    schedule = Between(WarmUp(1.0, duration=4, unit="step"), stop=2)
    assert schedule(epoch=1, step=1) == 0.5
    assert schedule(epoch=2, step=1) == 0.0


def test_a_number_is_a_constant_schedule() -> None:
    assert as_schedule(3)(epoch=0, step=0) == 3.0
    schedule = WarmUp(1.0, duration=2)
    assert as_schedule(schedule) is schedule


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Constant(math.nan), "weight: a weight must be a finite number; got nan."),
        (lambda: as_schedule(math.inf), "weight: a weight must be a finite number; got inf."),
        (lambda: as_schedule("0.5"), "weight: a weight must be a finite number; got '0.5'."),
        (lambda: WarmUp(math.nan, duration=2), "weight: a weight must be a finite number; got nan."),
        (lambda: Decay(-math.inf, end=2), "weight: a weight must be a finite number; got -inf."),
        (lambda: Between(math.nan), "weight: a weight must be a finite number; got nan."),
        (lambda: WarmUp(1.0, duration=0), "duration is too small; expected at least 1, got 0."),
        (lambda: Decay(1.0, start=-1, end=2), "start is too small; expected at least 0, got -1."),
        (lambda: Decay(1.0, start=3, end=3), "end is too small; expected at least 4, got 3."),
        (lambda: Between(1.0, start=-2), "start is too small; expected at least 0, got -2."),
        (lambda: Between(1.0, start=2, stop=2), "stop is too small; expected at least 3, got 2."),
        (
            lambda: WarmUp(1.0, duration=2, unit="epochs"),
            "there is no unit 'epochs'; expected epoch or step. Did you mean 'epoch'?",
        ),
        (
            lambda: Decay(1.0, end=2, shape="cosin"),
            "there is no shape 'cosin'; expected linear or cosine. Did you mean 'cosine'?",
        ),
    ],
)
def test_what_is_refused(make: Callable[[], Schedule], message: str) -> None:
    with pytest.raises(StillroomError, match=f"^{re.escape(message)}$"):
        make()
