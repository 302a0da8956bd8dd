"""metrics.csv: what was measured while a model trained.

One line is one measurement. The first seven columns are fixed, apart from the metric's name, such as ``accuracy``; then
come three for the task loss and for each term: its raw value, its value times its weight, and its share of the total;
and so for ``task.<name>``, the parts that the task loss itself is the sum of, which the total does not count again.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from stillroom.errors import StillroomError, did_you_mean
from stillroom.files import read_text
from stillroom.reports.results import ACCURACY

FILE = "metrics.csv"

Phase = Literal["step", "train", "validation"]

_METRIC = 4
_INSIDE = "task."


@dataclass(frozen=True)
class Part:
    """One part of the loss: the value, the value times its weight, and its share (0 to 1) of the total."""

    raw: float | None
    weighted: float | None
    share: float | None


@dataclass(frozen=True)
class Measured:
    """One line of metrics.csv; None where its cell is empty.

    Args:
        epoch: counted from 1.
        step: optimiser steps so far.
        phase: "step" (means over the last logged steps), "train" (means over an epoch) or "validation".
        accuracy: value of the metric, 0 to 1.
        lr: learning rate.
        seconds: since training began.
        parts: by name, in the order of the columns: the task loss and the terms, and what the task loss is made of.
    """

    epoch: int
    step: int
    phase: Phase
    loss: float | None
    accuracy: float | None
    lr: float | None
    seconds: float | None
    parts: dict[str, Part]


def columns(parts: Sequence[str], *, metric: str = ACCURACY) -> list[str]:
    """The header of metrics.csv for these parts of the loss (the task loss and the terms) and this metric."""
    return [*_fixed(metric), *(name + ending for name in parts for ending in ("", "_weighted", "_share"))]


def inside_task(name: str) -> bool:
    """Whether a part is one that the task loss is the sum of."""
    return name.startswith(_INSIDE)


def _fixed(metric: str) -> tuple[str, ...]:
    return ("epoch", "step", "phase", "loss", metric, "lr", "seconds")


def read_metrics(folder: str | Path) -> list[Measured]:
    """Reads metrics.csv of a run folder.

    Raises:
        StillroomError: if the file is missing or broken; names the file, the line and the cell.
    """
    path = Path(folder) / FILE
    try:
        lines = list(csv.reader(io.StringIO(read_text(path)), strict=True))
    except csv.Error as error:
        raise StillroomError("the file is not CSV", where=str(path), got=str(error)) from error
    header = lines[0] if lines else []
    # By position: a term may be called "kl_weighted" beside one called "kl".
    metric = header[_METRIC] if len(header) > _METRIC else ACCURACY
    fixed = _fixed(metric)
    parts = header[len(fixed) :: 3]
    if header != columns(parts, metric=metric) or len(set(parts)) < len(parts):
        raise StillroomError(
            "the columns are not those of a run",
            where=f"{path}, line 1",
            expected=f"{','.join(_fixed(ACCURACY))} and <name>,<name>_weighted,<name>_share for each part of the loss",
            got=",".join(header) or "an empty file",
        )
    return [_Line(f"{path}, line {number}", header, cells).read() for number, cells in enumerate(lines[1:], start=2)]


@dataclass(frozen=True)
class _Line:
    where: str
    header: list[str]
    cells: list[str]

    def read(self) -> Measured:
        if len(self.cells) != len(self.header):
            raise StillroomError(
                "the line is incomplete", where=self.where, expected=f"{len(self.header)} cells", got=len(self.cells)
            )
        first = len(_fixed(ACCURACY))
        loss, accuracy, lr, seconds = (self.number(index) for index in range(3, first))
        parts = {
            self.header[at]: Part(self.number(at), self.number(at + 1), self.number(at + 2))
            for at in range(first, len(self.cells), 3)
        }
        return Measured(self.whole(0), self.whole(1), self.phase(), loss, accuracy, lr, seconds, parts)

    def number(self, index: int) -> float | None:
        try:
            return float(self.cells[index]) if self.cells[index] else None
        except ValueError:
            raise self.wrong(index, "a number") from None

    def whole(self, index: int) -> int:
        if not self.cells[index].isdecimal():
            raise self.wrong(index, "a whole number")
        return int(self.cells[index])

    def phase(self) -> Phase:
        for phase in get_args(Phase):
            if self.cells[2] == phase:
                return phase
        raise self.wrong(2, "'step', 'train' or 'validation'", did_you_mean(self.cells[2], get_args(Phase)))

    def wrong(self, index: int, expected: str, fix: str = "") -> StillroomError:
        problem = f"the cell '{self.header[index]}' is wrong"
        return StillroomError(problem, where=self.where, expected=expected, got=repr(self.cells[index]), fix=fix)
