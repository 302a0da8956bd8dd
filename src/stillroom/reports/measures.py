"""What models are measured in besides the metric, and how they do with each class, as tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stillroom.reports import words
from stillroom.reports.comparison import ROW_NAMES, spread
from stillroom.reports.folder import Run
from stillroom.reports.results import ComparisonResults, Results, RunResults, Score, Scores, Split
from stillroom.reports.table import Cells


@dataclass(frozen=True)
class _Column:
    """A model, or the same one of several seeds."""

    name: str
    scores: Sequence[Score]

    def measure(self, metric: str, name: str) -> str:
        values = [score.accuracy if name == metric else score.details.get(name) for score in self.scores]
        return words.points(spread(values))

    def of_class(self, label: str, measure: str) -> str:
        return words.points(spread([score.per_class.get(label, {}).get(measure) for score in self.scores]))


def measures(results: Results, runs: Sequence[Run]) -> Cells:
    """A row for each measure, after the last epoch; no rows where there is the metric alone."""
    columns = _columns(results, runs)
    names = _union([score.details for each in columns for score in each.scores])
    rows = [
        [name, *(each.measure(results.metric, name) for each in columns)]
        for name in ([results.metric, *names] if names else [])
    ]
    return Cells("Measures", [_corner(results), *(each.name for each in columns)], rows, [])


def classes(results: Results, runs: Sequence[Run]) -> Cells:
    """A row for each class: the metric, and of a single run's model its other measures; no rows without classes."""
    columns = _columns(results, runs)
    shown = [(each, results.metric, each.name) for each in columns]
    if isinstance(results, RunResults):
        own, others = columns[:1], columns[2:]
        names = _union([values for each in own for score in each.scores for values in score.per_class.values()])
        shown = [(each, name, name) for each in own for name in names]
        shown += [(each, results.metric, f"{each.name}: {results.metric}") for each in others]
    labels = _union([score.per_class for each in columns for score in each.scores])
    rows = [[label, *(each.of_class(label, name) for each, name, _ in shown)] for label in labels]
    return Cells("Classes", [_corner(results), *(title for *_, title in shown)], rows, [])


def _split(results: Results) -> Split:
    if isinstance(results, ComparisonResults):
        return results.split
    return "validation" if results.test is None else "test"


def _corner(results: Results) -> str:
    return f"{_split(results)}, %"


def _columns(results: Results, runs: Sequence[Run]) -> list[_Column]:
    """Of a run the last epoch, the best one, and the teachers; of a comparison its rows."""
    if isinstance(results, ComparisonResults):
        found = {name: _last(results, name, runs) for name in ROW_NAMES.values()}
        return [_Column(name, scores) for name, scores in found.items() if scores]
    own = _scores(results, _split(results))
    teachers = {
        words.teacher(name): facts.test if _split(results) == "test" else facts.validation
        for name, facts in results.teacher.items()
    }
    columns = [] if own is None else [_Column("last epoch", [own.last]), _Column(words.best_epoch(results), [own.best])]
    return columns + [_Column(name, [score]) for name, score in teachers.items() if score is not None]


def _last(results: ComparisonResults, name: str, runs: Sequence[Run]) -> list[Score]:
    scores = [_scores(run.results, results.split) for run in runs if ROW_NAMES[run.results.role] == name]
    return [each.last for each in scores if each is not None]


def _scores(results: RunResults, split: Split) -> Scores | None:
    return results.test if split == "test" else results.validation


def _union(mappings: Sequence[Mapping[str, object]]) -> list[str]:
    """The keys of all, in the order in which they first come."""
    return list(dict.fromkeys(key for each in mappings for key in each))
