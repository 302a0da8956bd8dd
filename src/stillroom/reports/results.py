"""results.json: what one training, or a comparison of several, came to. The dataclasses are the schema."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

from stillroom.errors import StillroomError
from stillroom.files import read_text, write_text
from stillroom.reports.decode import decode

FILE = "results.json"
ACCURACY = "accuracy"

Role = Literal["teacher", "alone", "distilled"]
Split = Literal["test", "validation"]


@dataclass(frozen=True, kw_only=True)
class Score:
    """What a model reached on one split.

    Args:
        epoch: the epoch after which it was measured, counted from 1; 0 is the untrained model.
        accuracy: value of the metric, 0 to 1, such as the share of right answers; None where the task has none.
        loss: mean task loss; None where it was not measured.
        top5: share of samples whose class is among the five most probable; None where that says nothing.
        details: further measures by name, 0 to 1, such as ``"AP75"`` of a detector.
        per_class: measures by name, for each class that is measured by itself.
    """

    epoch: int
    accuracy: float | None
    loss: float | None
    top5: float | None = None
    details: dict[str, float] = field(default_factory=dict[str, float])
    per_class: dict[str, dict[str, float]] = field(default_factory=dict[str, dict[str, float]])

    def __post_init__(self) -> None:
        if self.accuracy is not None and not 0 <= self.accuracy <= 1:
            raise StillroomError("an accuracy is a share", where="accuracy", expected="0 to 1", got=self.accuracy)


@dataclass(frozen=True, kw_only=True)
class Scores:
    """The scores of one split after the last epoch, and after the epoch that ``best_by`` picked."""

    last: Score
    best: Score


@dataclass(frozen=True, kw_only=True)
class ModelFacts:
    """What the trained model weighs. Sizes in 10^6 bytes, latencies in milliseconds (None: not measured).

    Args:
        batch: images in the batch of ``latency_batch_ms``.
        class_path: the model's class or maker; None for a model given as an object.
    """

    parameters: int
    size_mb: float
    latency_one_ms: float | None
    latency_batch_ms: float | None
    batch: int
    class_path: str | None


@dataclass(frozen=True, kw_only=True)
class TeacherFacts:
    """How good the teacher of a run is; ``folder`` is its run folder, where it has one."""

    folder: str | None
    validation: Score | None
    test: Score | None


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What training took; None where it was not measured. Memory in 10^6 bytes."""

    seconds_per_epoch: float | None
    samples_per_second: float | None
    peak_memory_mb: float | None


@dataclass(frozen=True, kw_only=True)
class RunResults:
    """One training.

    Args:
        name: the recipe's name.
        date: when training ended, ISO 8601 in UTC.
        steps: optimiser steps.
        seconds: wall time of training; None for a model that was not trained here.
        versions: package name to version.
        test, validation: the scores, None where the data has no such split.
        teacher: by the teachers' names; empty for a run without one.
        best_by: the split that picked the best epoch: "test" only where there is no validation split.
        metric: what the scores call accuracy: ``"accuracy"``, or ``"AP50"`` of a detector.
        companions: what was trained beside the model and is measured like a teacher, by name, after the last epoch.
    """

    format: Literal[1] = 1
    kind: Literal["run"] = "run"
    name: str
    role: Role
    date: str
    seed: int
    epochs: int
    steps: int
    seconds: float | None
    hardware: str
    versions: dict[str, str]
    model: ModelFacts
    test: Scores | None
    validation: Scores | None
    teacher: dict[str, TeacherFacts]
    cost: Cost
    best_by: Split
    metric: str = ACCURACY
    companions: dict[str, TeacherFacts] = field(default_factory=dict[str, TeacherFacts])


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Mean and sample standard deviation (n - 1) of ``values``; no deviation for one value, no mean for none."""

    mean: float | None
    deviation: float | None
    values: list[float]


@dataclass(frozen=True, kw_only=True)
class Row:
    """The runs of one role: values of the metric in the order of the seeds, the rest as means over the runs.

    Args:
        name: ``"student alone"``, ``"student distilled"``, ``"teacher"``, or of several teachers ``"teacher big"``.
        folders: relative to the comparison's folder, or absolute (a teacher from elsewhere).
    """

    name: str
    folders: list[str]
    last: Spread
    best: Spread
    parameters: int
    size_mb: float
    latency_one_ms: float | None
    latency_batch_ms: float | None
    batch: int
    seconds: float | None


@dataclass(frozen=True, kw_only=True)
class ComparisonResults:
    """The same student trained alone and distilled, with equal seeds and epochs.

    Args:
        split: the split of the rows' values: test, or validation where a student has no test scores.
        best_by: as in the runs.
        metric: what the values are.
        companions: what was trained beside the distilled student, by name: the metric after the last epoch.
    """

    format: Literal[1] = 1
    kind: Literal["comparison"] = "comparison"
    name: str
    date: str
    seeds: list[int]
    epochs: int
    hardware: str
    versions: dict[str, str]
    split: Split
    best_by: Split
    metric: str = ACCURACY
    rows: list[Row]
    companions: dict[str, Spread] = field(default_factory=dict[str, Spread])

    def __post_init__(self) -> None:
        for row in self.rows:
            counts = {len(row.last.values), len(row.best.values)} - {0}
            if not row.name.startswith("teacher") and counts - {len(self.seeds)}:
                expected = f"one for each of the seeds {self.seeds}"
                raise StillroomError("the values do not pair", where=row.name, expected=expected, got=sorted(counts))


Results = RunResults | ComparisonResults


def to_json(results: Results) -> dict[str, Any]:
    """The results as JSON values. A number that is not finite becomes None: JSON has no word for it."""
    return _finite(asdict(results))


def from_json(data: object) -> Results:
    """The inverse of ``to_json``.

    Raises:
        StillroomError: if a key is missing or unknown, or a value is of the wrong kind; names the key.
    """
    match data:
        case {"kind": "comparison"}:
            return decode(ComparisonResults, data)
        case _:
            return decode(RunResults, data)


def write(results: Results, folder: str | Path) -> Path:
    """Writes results.json into a folder that exists, whole or not at all, and returns the file's path."""
    return write_text(Path(folder) / FILE, json.dumps(to_json(results), indent=2, ensure_ascii=False) + "\n")


def read(folder: str | Path) -> Results:
    """Reads results.json of a run folder or a comparison folder.

    Raises:
        StillroomError: if the file is missing or not what ``write`` writes; names the file and the key.
    """
    path = Path(folder) / FILE
    try:
        data = json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise StillroomError("the file is not JSON", where=f"{path}, line {error.lineno}", got=error.msg) from error
    try:
        return from_json(data)
    except StillroomError as error:
        where = f"{path}: {error.where}" if error.where else str(path)
        raise StillroomError(
            error.problem, where=where, expected=error.expected, got=error.got, fix=error.fix
        ) from error


def read_run(folder: str | Path) -> RunResults:
    """As ``read``, for a folder that must be one run's."""
    results = read(folder)
    if isinstance(results, ComparisonResults):
        raise StillroomError("the folder is not one run's", where=str(folder), expected="a run", got="a comparison")
    return results


def _finite(value: Any) -> Any:
    match value:
        case dict():
            items = cast("dict[str, Any]", value)
            return {key: _finite(item) for key, item in items.items()}
        case list():
            return [_finite(item) for item in cast("list[Any]", value)]
        case float() if not math.isfinite(value):
            return None
        case _:
            return value
