"""How the benchmarks take time: arms side by side in one process, round by round, beside a control."""

from __future__ import annotations

import gc
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

Block = Callable[[], float]
"""Runs some steps of one arm and returns the seconds that one of them took."""

CONTROL = "student alone"
TRIES = 3


class NoisyMachineError(RuntimeError):
    """Too many rounds were void."""


@dataclass(frozen=True)
class Timings:
    """What the valid rounds gave.

    Attributes:
        seconds: per step, by arm, one for each valid round; the control's is the smaller of its two.
        void: rounds that were thrown away.
    """

    seconds: Mapping[str, list[float]]
    void: int

    def best(self, arm: str) -> float:
        """The smallest of all rounds, in seconds."""
        return min(self.seconds[arm])

    def typical(self, arm: str) -> float:
        """The median over the rounds, in seconds."""
        return median(self.seconds[arm])

    def ratios(self, arm: str, to: str) -> tuple[float, float]:
        """How many times as long as the arm ``to``: by the minima, and the median over the rounds."""
        rounds = zip(self.seconds[arm], self.seconds[to], strict=True)
        return self.best(arm) / self.best(to), median(a / b for a, b in rounds)

    def extra(self, arm: str, to: str) -> tuple[float, float]:
        """How many seconds longer than the arm ``to``: by the minima, and the median over the rounds."""
        rounds = zip(self.seconds[arm], self.seconds[to], strict=True)
        return self.best(arm) - self.best(to), median(a - b for a, b in rounds)


def interleave(arms: Mapping[str, Block], control: Block, *, rounds: int, tolerance: float = 0.1) -> Timings:
    """Time every arm in every round, in the order given and in the reverse of it by turns.

    The control runs at both ends of a round. Where it moved by more than ``tolerance`` the machine was not the same
    throughout: the round is void and another takes its place, up to ``TRIES`` times as many as were asked for.

    Args:
        arms: what to compare, by name.
        control: work that no arm has a part in.
        rounds: valid rounds wanted.
        tolerance: largest change of the control, as a share of the smaller time.

    Raises:
        NoisyMachineError: too few of the rounds were valid.
    """
    names, void = list(arms), 0
    seconds: dict[str, list[float]] = {CONTROL: [], **{name: [] for name in names}}
    while len(seconds[CONTROL]) < rounds:
        if len(seconds[CONTROL]) + void == TRIES * rounds:
            raise NoisyMachineError(f"the machine is too noisy: {void} of {TRIES * rounds} rounds are void")
        names.reverse()
        before = _one(control)
        now = {name: _one(arms[name]) for name in names}
        after = _one(control)
        if max(before, after) > (1 + tolerance) * min(before, after):
            void += 1
            continue
        for name, value in {CONTROL: min(before, after), **now}.items():
            seconds[name].append(value)
    return Timings(seconds, void)


def _one(block: Block) -> float:
    """The garbage of other arms is collected before, and none within: its passes fall on whoever is running."""
    gc.collect()
    gc.disable()
    try:
        return block()
    finally:
        gc.enable()


def write_json(path: Path, facts: Mapping[str, Any]) -> None:
    """Writes the file whole or not at all; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
