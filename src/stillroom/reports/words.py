"""How numbers and facts are written, the same in the terminal, in Markdown and in HTML."""

from __future__ import annotations

from collections.abc import Iterable

from stillroom.reports.comparison import ROW_NAMES, gain
from stillroom.reports.results import ComparisonResults, Results, Score, Spread

NONE = "-"


def number(value: float | None) -> str:
    """Three significant digits or all those before the point; a hyphen for None."""
    if value is None:
        return NONE
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}" if abs(value) >= 0.095 else f"{value:.2g}"


def percent(value: float | None) -> str:
    """A share of 1 in percent."""
    return NONE if value is None else f"{100 * value:.2f} %"


def points(spread: Spread, *, sign: str = "") -> str:
    """Mean ± deviation of shares of 1 in points, hundredths; the mean alone where there is no deviation.

    Args:
        sign: "+" to write the sign of a mean above 0 too.
    """
    if spread.mean is None:
        return NONE
    deviation = "" if spread.deviation is None else f" ± {100 * spread.deviation:.2f}"
    return f"{100 * spread.mean:{sign}.2f}{deviation}"


def measure(score: Score, metric: str) -> str:
    """What a score is told in: the loss only where the task has no metric."""
    return "loss" if _in_loss(score) else metric


def _in_loss(score: Score) -> bool:
    return score.accuracy is None and score.loss is not None


def reached(score: Score) -> str:
    """A score with the epoch it belongs to."""
    value = number(score.loss) if _in_loss(score) else percent(score.accuracy)
    top5 = "" if score.top5 is None else f", top-5 {percent(score.top5)}"
    return f"{value}{top5} (epoch {score.epoch})"


def listed(items: Iterable[object]) -> str:
    """Joined with commas."""
    return ", ".join(str(item) for item in items)


def counted(count: int, noun: str) -> str:
    """``"1 epoch"``, ``"2 epochs"``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def best_epoch(results: Results) -> str:
    """``"best epoch"``, with a warning where the split that picked it was the test split itself."""
    return "best epoch (picked on test)" if results.best_by == "test" else "best epoch"


def teacher(name: str) -> str:
    """What a teacher is called among other rows; a single one is mostly named "teacher" itself."""
    return name if name == "teacher" else f"teacher {name}"


def moment(date: str) -> str:
    """An ISO date in UTC, to the minute."""
    return f"{date[:16].replace('T', ' ')} UTC"


def what(results: Results) -> str:
    """One sentence: what the folder holds."""
    if isinstance(results, ComparisonResults):
        return (
            "The same student trained alone and with a teacher, on equal terms: "
            f"{counted(len(results.seeds), 'seed')}, {counted(results.epochs, 'epoch')} each."
        )
    return f"One training of the {ROW_NAMES[results.role]}: seed {results.seed}, {counted(results.epochs, 'epoch')}."


def facts(results: Results) -> str:
    """One line: date, seeds, epochs, hardware."""
    seeds = results.seeds if isinstance(results, ComparisonResults) else [results.seed]
    noun = "seed" if len(seeds) == 1 else "seeds"
    return f"{results.date[:10]} · {noun} {listed(seeds)} · {counted(results.epochs, 'epoch')} · {results.hardware}"


def gain_sentence(results: Results) -> str:
    """What distillation changed, neutrally; empty where it is not known."""
    if not isinstance(results, ComparisonResults) or (found := gain(results)) is None:
        return ""
    count = len(found.last.values)
    basis = (
        "One seed: the deviation is not known."
        if count == 1
        else f"Mean ± sample deviation of the {count} differences, paired by seed."
    )
    return (
        f"Distilled minus alone, in points of {results.split} {results.metric}: "
        f"{_difference(found.last)} at the last epoch, {_difference(found.best)} at the {best_epoch(results)}. {basis}"
    )


def _difference(spread: Spread) -> str:
    if spread.mean is None or spread.deviation is None:
        return points(spread, sign="+")
    within = abs(spread.mean) <= spread.deviation
    verdict = "within the deviation, so no difference is shown" if within else "more than the deviation"
    return f"{points(spread, sign='+')} ({verdict})"
