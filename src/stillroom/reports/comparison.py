"""Several runs into one comparison: means, sample deviations, and the gain of distilled over alone."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from stillroom.errors import StillroomError
from stillroom.reports.results import ComparisonResults, Role, Row, RunResults, Score, Split, Spread

ROW_NAMES: Mapping[Role, str] = {
    "teacher": "teacher",
    "alone": "student alone",
    "distilled": "student distilled",
}


@dataclass(frozen=True, kw_only=True)
class Gain:
    """The metric of distilled minus that of alone, seed by seed (shares, not points)."""

    last: Spread
    best: Spread


def compare_runs(runs: Mapping[str, RunResults], *, name: str) -> ComparisonResults:
    """The results of a comparison.

    Args:
        runs: folder (relative to the comparison's, or absolute) to results; at least one alone and one distilled.
        name: the recipe's name.

    Raises:
        StillroomError: if the runs alone and distilled differ in seeds or epochs, or one of the two is missing.
    """
    rows = compare_rows(runs)
    students = sorted((run for run in runs.values() if run.role == "distilled"), key=lambda run: run.seed)
    return ComparisonResults(
        name=name,
        date=max(run.date for run in runs.values()),
        seeds=[run.seed for run in students],
        epochs=students[0].epochs,
        hardware=students[0].hardware,
        versions=students[0].versions,
        split=shared_split(runs.values()),
        best_by=students[0].best_by,
        metric=students[0].metric,
        rows=rows,
        companions=_companions(students, shared_split(runs.values())),
    )


def compare_rows(runs: Mapping[str, RunResults]) -> list[Row]:
    """One row each for every teacher among the runs, the student alone and the student distilled.

    Raises:
        StillroomError: as ``compare_runs``.
    """
    _check_budget(list(runs.values()))
    split = shared_split(runs.values())
    teachers = [{folder: run} for folder, run in runs.items() if run.role == "teacher"]
    rows = [_row("teacher", one, split, name=_teacher_name(next(iter(one)))) for one in teachers]
    students: tuple[Role, Role] = ("alone", "distilled")
    return rows + [_row(role, runs, split, name=ROW_NAMES[role]) for role in students]


def shared_split(runs: Iterable[RunResults]) -> Split:
    """The split that the runs are compared on: test, unless a student has no test scores."""
    return "test" if all(run.test is not None for run in runs if run.role != "teacher") else "validation"


def spread(values: Sequence[float | None]) -> Spread:
    """Mean and sample standard deviation; of nothing at all where a value is unknown, since pairs would shift."""
    known = [value for value in values if value is not None]
    if not known or len(known) < len(values):
        return Spread(mean=None, deviation=None, values=[])
    deviation = statistics.stdev(known) if len(known) > 1 else None
    return Spread(mean=statistics.fmean(known), deviation=deviation, values=known)


def gain(results: ComparisonResults) -> Gain | None:
    """The gain of distilled over alone in differences paired by seed; None where a value is unknown."""
    rows = {row.name: row for row in results.rows}
    alone, distilled = rows.get("student alone"), rows.get("student distilled")
    if alone is None or distilled is None:
        return None
    last, best = _differences(distilled.last, alone.last), _differences(distilled.best, alone.best)
    return Gain(last=last, best=best) if last.values and best.values else None


def _differences(distilled: Spread, alone: Spread) -> Spread:
    if not distilled.values or not alone.values:
        return spread([])
    return spread([mine - other for mine, other in zip(distilled.values, alone.values, strict=True)])


def _teacher_name(folder: str) -> str:
    """Of several teachers each has a folder ``teacher-<name>``."""
    _, dash, name = Path(folder).name.partition("teacher-")
    return f"teacher {name}" if dash and name else "teacher"


def _row(role: Role, runs: Mapping[str, RunResults], split: Split, *, name: str) -> Row:
    mine = sorted(((folder, run) for folder, run in runs.items() if run.role == role), key=lambda item: item[1].seed)
    results = [run for _, run in mine]
    models = [run.model for run in results]
    return Row(
        name=name,
        folders=[folder for folder, _ in mine],
        last=spread([_accuracy(run, split, best=False) for run in results]),
        best=spread([_accuracy(run, split, best=True) for run in results]),
        parameters=models[0].parameters,
        size_mb=models[0].size_mb,
        latency_one_ms=_mean(model.latency_one_ms for model in models),
        latency_batch_ms=_mean(model.latency_batch_ms for model in models),
        batch=models[0].batch,
        seconds=_mean(run.seconds for run in results),
    )


def _companions(students: Sequence[RunResults], split: Split) -> dict[str, Spread]:
    """What was trained beside the students, by name, over the seeds."""
    return {name: spread([_beside(run, name, split) for run in students]) for name in students[0].companions}


def _beside(run: RunResults, name: str, split: Split) -> float | None:
    facts = run.companions.get(name)
    score = facts and (facts.test if split == "test" else facts.validation)
    return score.accuracy if score else None


def _accuracy(run: RunResults, split: Split, *, best: bool) -> float | None:
    scores = run.test if split == "test" else run.validation
    score: Score | None = scores and (scores.best if best else scores.last)
    return score.accuracy if score else None


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None


def _check_budget(runs: Sequence[RunResults]) -> None:
    alone = sorted((run.seed, run.epochs) for run in runs if run.role == "alone")
    distilled = sorted((run.seed, run.epochs) for run in runs if run.role == "distilled")
    if not alone or not distilled:
        raise StillroomError(
            "a comparison needs the student alone and distilled",
            expected="at least one run of each",
            got=f"{len(alone)} alone and {len(distilled)} distilled",
        )
    if alone != distilled:
        raise StillroomError(
            "the runs alone and distilled differ in their budget",
            expected=f"the (seed, epochs) of the runs alone, {alone}",
            got=distilled,
        )
