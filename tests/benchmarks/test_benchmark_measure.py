"""How the benchmarks take time: with clocks that are made up."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(autouse=True)
def found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.setattr("gc.collect", lambda: 0)  # of all that other tests left


def test_arms_run_in_turns_of_order_between_two_controls() -> None:
    from measure import interleave

    ran: list[str] = []
    arms = {name: lambda name=name: ran.append(name) or 1.0 for name in "abc"}
    interleave(arms, lambda: ran.append("|") or 1.0, rounds=2)
    assert "".join(ran) in ("|abc||cba|", "|cba||abc|")


def test_a_round_in_which_the_control_moves_is_void() -> None:
    from measure import CONTROL, interleave

    control: Iterator[float] = iter([1.0, 1.2, 1.0, 1.05, 2.0, 2.1])
    arm: Iterator[float] = iter([9.0, 3.0, 4.0])
    timings = interleave({"arm": lambda: next(arm)}, lambda: next(control), rounds=2)
    assert timings.void == 1
    assert timings.seconds == {CONTROL: [1.0, 2.0], "arm": [3.0, 4.0]}


def test_too_many_void_rounds_are_an_error() -> None:
    from measure import NoisyMachineError, interleave

    control = iter([1.0, 2.0] * 6)
    with pytest.raises(NoisyMachineError, match=r"^the machine is too noisy: 6 of 6 rounds are void$"):
        interleave({"arm": lambda: 1.0}, lambda: next(control), rounds=2)


def test_arms_are_compared_by_minima_and_within_a_round() -> None:
    from measure import Timings

    timings = Timings({"hand": [1.0, 2.0, 4.0], "ours": [1.5, 2.0, 8.0]}, void=0)
    assert (timings.best("ours"), timings.typical("ours")) == (1.5, 2.0)
    assert timings.ratios("ours", "hand") == (1.5, 1.5)
    assert timings.extra("ours", "hand") == (0.5, 0.5)
