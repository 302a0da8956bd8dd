"""From lines of metrics.csv to the curves of a chart: what is drawn, not how."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeGuard

from stillroom.reports.metrics import Measured, Phase

Curve = dict[float, float]
"""x to y, in the order of x."""

Unit = Literal["epoch", "step"]

# Middle tones: each stands out from a white page and from a dark one.
COLOURS = ("#2f7fd0", "#d9701f", "#1f9a86", "#a765c4", "#b08a12", "#d04a66", "#5f8a2f", "#7a7f8c")

# With fewer epochs than this their means make no curve, and the logged steps are drawn instead.
_ENOUGH_EPOCHS = 3


@dataclass(frozen=True)
class Group:
    """What is drawn in one colour.

    Args:
        label: stands in the legend.
        curves: one for each seed, drawn thin, with their mean drawn over them; one curve is its own mean.
        level: a height to compare with, drawn as a dashed line.
    """

    label: str
    colour: str
    curves: Sequence[Curve] = ()
    level: float | None = None


def over_epochs(metrics: Sequence[Measured], phase: Phase, value: Callable[[Measured], float | None]) -> Curve:
    """One value against the epoch, from the lines of one phase; gaps where it is empty or not finite."""
    return {line.epoch: y for line in metrics if line.phase == phase and _drawable(y := value(line))}


def training_unit(runs: Iterable[Sequence[Measured]]) -> Unit:
    """What the trainings are drawn against: the epoch, or the logged step where epochs are too few for a curve."""
    phases = [[line.phase for line in metrics] for metrics in runs]
    few = all(run.count("train") < _ENOUGH_EPOCHS and "step" in run for run in phases)
    return "step" if phases and few else "epoch"


def in_training(metrics: Sequence[Measured], unit: Unit, value: Callable[[Measured], float | None]) -> Curve:
    """One value of the training against the unit."""
    if unit == "epoch":
        return over_epochs(metrics, "train", value)
    return {line.step: y for line in metrics if line.phase == "step" and _drawable(y := value(line))}


def mean(curves: Sequence[Curve]) -> Curve:
    """The mean at every x that all the curves have."""
    shared = [x for x in curves[0] if all(x in curve for curve in curves)] if curves else []
    return {x: statistics.fmean(curve[x] for curve in curves) for x in shared}


def _drawable(value: float | None) -> TypeGuard[float]:
    return value is not None and math.isfinite(value)
