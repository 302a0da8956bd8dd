"""Which charts a report shows, with their titles and legends."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle

from markupsafe import Markup

from stillroom.reports import charts, words
from stillroom.reports.comparison import ROW_NAMES
from stillroom.reports.curves import COLOURS, Curve, Group, Unit, in_training, over_epochs, training_unit
from stillroom.reports.folder import Run
from stillroom.reports.judgement import Judgement
from stillroom.reports.metrics import Measured, Part, inside_task
from stillroom.reports.results import Results, Role

_ROLE_COLOURS: Mapping[Role, str] = {"distilled": COLOURS[0], "alone": COLOURS[1], "teacher": COLOURS[2]}
_GREY = "#7d8590"


@dataclass(frozen=True)
class Chart:
    """A chart with its title and what its legend names."""

    title: str
    groups: Sequence[Group]
    svg: Markup


def learning(results: Results, runs: Sequence[Run]) -> list[Chart]:
    """The metric over the epochs (the loss, where the task has none), and the training loss."""
    unit = training_unit(run.metrics for run in runs if run.metrics)
    loss = _by_role(runs, lambda metrics: in_training(metrics, unit, lambda line: line.loss))
    value = _by_role(runs, lambda metrics: over_epochs(metrics, "validation", lambda line: line.accuracy))
    split = results.best_by.capitalize()
    if value:
        first = _lines(f"{split} {results.metric}", [*value, *_teacher_levels(results, runs)], x="epoch", percent=True)
    else:
        held_out = _by_role(runs, lambda metrics: over_epochs(metrics, "validation", lambda line: line.loss))
        first = _lines(f"{split} loss", held_out, x="epoch")
    return [*first, *_lines("Training loss", loss, x=unit)]


def parts(runs: Sequence[Run]) -> list[Chart]:
    """The task loss and the terms: raw, weighted, and as shares of the total. Empty where there are no terms."""
    names = next((names for run in runs if len(names := _part_names(run)) > 1), [])
    told = [run.metrics for run in runs if _part_names(run) == names]
    unit = training_unit(told)
    share = _by_part(told, names, unit, lambda part: part.share)
    return [
        *_lines("Raw value", _by_part(told, names, unit, lambda part: part.raw), x=unit),
        *_lines("Value times weight", _by_part(told, names, unit, lambda part: part.weighted), x=unit),
        *([Chart("Share of the total", share, Markup(charts.shares(share, key="share", x=unit)))] if share else []),
    ]


def task_parts(runs: Sequence[Run]) -> list[Chart]:
    """What the task loss is the sum of: raw, and as shares of the total. Empty where it is one thing."""
    role = _told_of(runs)
    told = [run for run in runs if run.results.role == role and _inside_names(run)]
    names = next((_inside_names(run) for run in told), [])
    lines = [run.metrics for run in told if _inside_names(run) == names]
    unit = training_unit(lines)
    return [
        *_lines("Raw value in the task loss", _by_part(lines, names, unit, lambda part: part.raw), x=unit),
        *_lines("Share of the total loss", _by_part(lines, names, unit, lambda part: part.share), x=unit, percent=True),
    ]


def calibration(judgement: Judgement) -> Chart:
    """Of both: the accuracy against the confidence, beside a model that is right as often as it believes."""
    both = (
        ("student", _ROLE_COLOURS["distilled"], judgement.student_calibration),
        ("teacher", _ROLE_COLOURS["teacher"], judgement.teacher_calibration),
    )
    groups = [
        Group(name, colour, [{each.confidence: each.accuracy for each in found.bins}]) for name, colour, found in both
    ]
    groups.append(Group("right as often as sure", _GREY, [{0.0: 0.0, 1.0: 1.0}]))
    drawn = charts.lines(groups, key="calibration", x="confidence", percent=True, whole=False)
    return Chart("Accuracy by confidence", groups, Markup(drawn))


def _lines(title: str, groups: Sequence[Group], *, x: str, percent: bool = False) -> list[Chart]:
    return [Chart(title, groups, Markup(charts.lines(groups, key=title, x=x, percent=percent)))] if groups else []


def _by_role(runs: Sequence[Run], curve: Callable[[Sequence[Measured]], Curve]) -> list[Group]:
    drawn: dict[Role, list[Curve]] = {}
    for run in runs:
        if found := curve(run.metrics):
            drawn.setdefault(run.results.role, []).append(found)
    return [Group(ROW_NAMES[role], _ROLE_COLOURS[role], curves) for role, curves in drawn.items()]


def _by_part(
    runs: Sequence[Sequence[Measured]], names: Sequence[str], unit: Unit, value: Callable[[Part], float | None]
) -> list[Group]:
    groups: list[Group] = []
    for name, colour in zip(names, cycle(COLOURS), strict=False):
        curves = [in_training(run, unit, lambda line, name=name: value(line.parts[name])) for run in runs]
        groups += [Group(name, colour, curves)] if any(curves) else []
    return groups


def _teacher_levels(results: Results, runs: Sequence[Run]) -> list[Group]:
    facts = next((run.results.teacher for run in runs if run.results.teacher), {})
    scores = {name: one.test if results.best_by == "test" else one.validation for name, one in facts.items()}
    return [
        Group(words.teacher(name), _GREY, level=score.accuracy)
        for name, score in scores.items()
        if score is not None and score.accuracy is not None
    ]


def _part_names(run: Run) -> list[str]:
    return [name for name in _names(run) if not inside_task(name)]


def _inside_names(run: Run) -> list[str]:
    return [name for name in _names(run) if inside_task(name)]


def _names(run: Run) -> list[str]:
    return list(run.metrics[0].parts) if run.metrics else []


def _told_of(runs: Sequence[Run]) -> Role:
    """Whose parts a report tells: the distilled student's, where there is one."""
    roles: list[Role] = [run.results.role for run in runs]
    return "distilled" if "distilled" in roles else roles[0]
