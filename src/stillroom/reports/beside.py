"""What a report says of a student beside its teacher."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stillroom.reports import words
from stillroom.reports.judgement import Disagreement, Judgement, Likeness
from stillroom.reports.table import Cells

if TYPE_CHECKING:
    from stillroom.reports.figures import Chart


@dataclass(frozen=True)
class Shade:
    """A cell of a map of numbers: its text, and how dark it is, 0 to 1."""

    text: str
    depth: float


@dataclass(frozen=True)
class Map:
    """Numbers by row and column, as shades."""

    title: str
    header: Sequence[str]
    rows: Sequence[tuple[str, Sequence[Shade]]]


@dataclass(frozen=True)
class Picture:
    """An image as PNG in base64, and what is said of it."""

    data: str
    caption: str


@dataclass(frozen=True)
class Beside:
    """The section of a report."""

    lead: str
    figures: Cells
    calibration: Chart
    confusion: Map | None
    swaps: Cells | None
    pictures: Sequence[Picture]
    likeness: Map | None
    samples: int


def beside(found: Judgement, calibration: Chart) -> Beside:
    """A judgement as text, maps and pictures."""
    name = words.teacher(found.teacher)
    pairs = (
        ("accuracy on these samples", found.student_accuracy, found.teacher_accuracy),
        ("right where the other is wrong", found.student_alone, found.teacher_alone),
        ("expected calibration error", found.student_calibration.error, found.teacher_calibration.error),
    )
    figures = [[what, words.percent(student), words.percent(teacher)] for what, student, teacher in pairs]
    return Beside(
        lead=f"On {found.samples:,} {found.split} samples the student answers as the {name} does in "
        f"{words.percent(found.agreement)}.",
        figures=Cells("Student and teacher", ["", "student", name], figures, []),
        calibration=calibration,
        confusion=None if found.confusion is None else _confusion(found.confusion, found.classes),
        swaps=_swaps(found) if found.confusion is None and found.swaps else None,
        pictures=[
            Picture(each.picture, _caption(each, found.classes))
            for each in found.disagreements
            if each.picture is not None
        ],
        likeness=None if found.likeness is None else _likeness(found.likeness),
        samples=0 if found.likeness is None else found.likeness.samples,
    )


def _confusion(counts: list[list[int]], classes: list[str]) -> Map:
    most = max((max(row) for row in counts), default=0) or 1
    shades = [[Shade(str(count or ""), count / most) for count in row] for row in counts]
    return Map("Answers, teacher by student", classes, list(zip(classes, shades, strict=True)))


def _swaps(found: Judgement) -> Cells:
    rows = [[found.classes[swap.teacher], found.classes[swap.student], str(swap.count)] for swap in found.swaps]
    return Cells("Most frequent disagreements", ["teacher says", "student says", "samples"], rows, [])


def _caption(each: Disagreement, classes: list[str]) -> str:
    label, teacher, student = (classes[index] for index in (each.label, each.teacher, each.student))
    return f"{label}: teacher {teacher}, student {student}"


def _likeness(found: Likeness) -> Map:
    shades = [[_alike(value) for value in row] for row in found.values]
    title = "Likeness of layers (CKA), student by teacher"
    return Map(title, found.teacher, list(zip(found.student, shades, strict=True)))


def _alike(value: float | None) -> Shade:
    return Shade(words.NONE, 0.0) if value is None else Shade(f"{value:.2f}", min(max(value, 0.0), 1.0))
