"""The table of a run or a comparison, for the terminal and in Markdown, from one set of cells."""

from __future__ import annotations

import html
from dataclasses import dataclass
from pathlib import Path

from rich import box
from rich.table import Table
from rich.text import Text

from stillroom.reports import words
from stillroom.reports.comparison import ROW_NAMES
from stillroom.reports.results import ComparisonResults, Results, Row, RunResults, Split, TeacherFacts, read


@dataclass(frozen=True)
class Cells:
    """A table as text: the first column names the rows; the notes stand under it."""

    title: str
    header: list[str]
    rows: list[list[str]]
    notes: list[str]


def table(folder: str | Path) -> Table:
    """The table of a run folder or a comparison folder, to be printed with rich.

    Raises:
        StillroomError: if results.json is missing or broken.
    """
    return to_terminal(cells(read(folder)))


def to_terminal(found: Cells) -> Table:
    """A table, to be printed with rich."""
    # As Text, since a name may hold square brackets, which rich would take for markup.
    drawn = Table(
        title=Text(found.title),
        title_justify="left",
        caption=Text("\n".join(found.notes)),
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )
    for index, column in enumerate(zip(found.header, *found.rows, strict=True)):
        # One word to a line above, and no column narrower than a word: so 80 columns hold it and no number is cut.
        narrowest = max(len(word) for cell in column for word in cell.split())
        name = Text(column[0].replace(" ", "\n"))
        drawn.add_column(name, justify="right" if index else "left", min_width=narrowest)
    for row in found.rows:
        drawn.add_row(*(Text(cell) for cell in row))
    return drawn


def markdown(folder: str | Path) -> str:
    """The same table and notes in Markdown.

    Raises:
        StillroomError: if results.json is missing or broken.
    """
    found = cells(read(folder))
    rule = [":---", *("---:" for _ in found.header[1:])]
    rows = [[_plain(cell) for cell in row] for row in (found.header, *found.rows)]
    lines = [f"| {' | '.join(row)} |" for row in (rows[0], rule, *rows[1:])]
    return "\n\n".join(["\n".join(lines), *(_plain(note) for note in found.notes)]) + "\n"


def cells(results: Results) -> Cells:
    """The text of every cell and note."""
    notes = [note for note in (words.facts(results), words.gain_sentence(results)) if note]
    if isinstance(results, ComparisonResults):
        rows = [*_comparison_rows(results.rows), *_companion_rows(results)]
        return Cells(results.name, _comparison_header(results), rows, notes)
    return Cells(results.name, ["", ROW_NAMES[results.role]], _run_rows(results), notes)


def _comparison_header(results: ComparisonResults) -> list[str]:
    return [
        "",
        f"{results.split} {results.metric}, last epoch, %",
        f"{results.split} {results.metric}, {words.best_epoch(results)}, %",
        *_size_names({row.batch for row in results.rows}),
    ]


def _comparison_rows(rows: list[Row]) -> list[list[str]]:
    # A teacher measured elsewhere may have been timed on batches of another size: then each cell names its own.
    one_batch = len({row.batch for row in rows}) == 1
    return [
        [
            row.name,
            words.points(row.last),
            words.points(row.best),
            f"{row.parameters:,}",
            words.number(row.size_mb),
            words.number(row.latency_one_ms),
            words.number(row.latency_batch_ms) + ("" if one_batch else f" (of {row.batch})"),
            words.number(row.seconds),
        ]
        for row in rows
    ]


def _companion_rows(results: ComparisonResults) -> list[list[str]]:
    """What was trained beside the distilled student is measured after the last epoch alone."""
    width = len(_comparison_header(results))
    return [[name, words.points(last), *[words.NONE] * (width - 2)] for name, last in results.companions.items()]


def _run_rows(results: RunResults) -> list[list[str]]:
    model = results.model
    sizes = (model.size_mb, model.latency_one_ms, model.latency_batch_ms, results.seconds)
    texts = [f"{model.parameters:,}", *(words.number(value) for value in sizes)]
    return [
        *_score_rows(results, "test"),
        *_score_rows(results, "validation"),
        *_rows_beside(results),
        *([name, text] for name, text in zip(_size_names({model.batch}), texts, strict=True)),
    ]


def _score_rows(results: RunResults, split: Split) -> list[list[str]]:
    scores = results.test if split == "test" else results.validation
    if scores is None:
        return []
    last, best = (words.measure(score, results.metric) for score in (scores.last, scores.best))
    return [
        [f"{split} {last}, last epoch", words.reached(scores.last)],
        [f"{split} {best}, {words.best_epoch(results)}", words.reached(scores.best)],
    ]


def _rows_beside(results: RunResults) -> list[list[str]]:
    return [
        [f"{name}: {split} {words.measure(score, results.metric)}", words.reached(score)]
        for name, facts in _measured_beside(results).items()
        for split, score in (("test", facts.test), ("validation", facts.validation))
        if score is not None
    ]


def _measured_beside(results: RunResults) -> dict[str, TeacherFacts]:
    """Teachers and companions, by what they are called in a table."""
    return {words.teacher(name): facts for name, facts in results.teacher.items()} | results.companions


def _size_names(batches: set[int]) -> list[str]:
    batch = f"batch of {min(batches)}, ms" if len(batches) == 1 else "batch, ms"
    return ["parameters", "size, MB", "one image, ms", batch, "training, s"]


def _plain(text: str) -> str:
    """Text that Markdown shows as it stands."""
    return html.escape(" ".join(text.split()), quote=False).replace("|", "\\|")
