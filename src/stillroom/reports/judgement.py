"""judgement.json: how a student answers beside its teacher. The dataclasses are the schema."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from stillroom.errors import StillroomError
from stillroom.files import read_text, write_text
from stillroom.reports.decode import decode
from stillroom.reports.results import Split

FILE = "judgement.json"


@dataclass(frozen=True, kw_only=True)
class Bin:
    """The answers of about one confidence.

    Args:
        confidence: mean probability of the answer.
        accuracy: share of them that is right.
        count: how many.
    """

    confidence: float
    accuracy: float
    count: int


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Whether a model is right as often as it believes.

    Args:
        error: expected calibration error, the mean of ``|accuracy - confidence|`` over the bins by their counts, of
            which 15 have equal width (Guo et al., On Calibration of Modern Neural Networks, ICML 2017).
        bins: those that are not empty, by confidence.
    """

    error: float
    bins: list[Bin]


@dataclass(frozen=True, kw_only=True)
class Swap:
    """How often the teacher said one class and the student another; classes as indices."""

    teacher: int
    student: int
    count: int


@dataclass(frozen=True, kw_only=True)
class Disagreement:
    """A sample on which the two disagree; classes as indices.

    Args:
        picture: the image as PNG in base64, its darkest value black and its brightest white; None where it is none.
    """

    label: int
    teacher: int
    student: int
    picture: str | None


@dataclass(frozen=True, kw_only=True)
class Likeness:
    """CKA of the student's layers (rows) with the teacher's (columns); None where it cannot be told.

    Args:
        samples: how many it was computed from.
    """

    student: list[str]
    teacher: list[str]
    values: list[list[float | None]]
    samples: int


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """A student after its last epoch, beside its teacher.

    Args:
        teacher: its name.
        split: whose samples these are, evenly spread.
        samples: how many.
        classes: their names, or their indices as words.
        student_accuracy, teacher_accuracy: on these samples.
        agreement: share of samples on which both say the same class.
        student_alone, teacher_alone: share on which one of the two alone is right.
        confusion: counts by the teacher's (row) and the student's (column) answer; None for more than 20 classes.
        swaps: the most frequent pairs of differing answers, at most 10.
        student_calibration, teacher_calibration: as their probabilities are, at temperature 1.
        disagreements: the first of them, at most 16.
        likeness: None where layers could not be compared.
    """

    teacher: str
    split: Split
    samples: int
    classes: list[str]
    student_accuracy: float
    teacher_accuracy: float
    agreement: float
    student_alone: float
    teacher_alone: float
    confusion: list[list[int]] | None
    swaps: list[Swap]
    student_calibration: Calibration
    teacher_calibration: Calibration
    disagreements: list[Disagreement]
    likeness: Likeness | None


def write_judgement(judgement: Judgement | None, folder: str | Path) -> None:
    """Write it into a folder that exists, whole or not at all; nothing where there is none."""
    if judgement is not None:
        write_text(Path(folder) / FILE, json.dumps(asdict(judgement), ensure_ascii=False) + "\n")


def read_judgement(folder: str | Path) -> Judgement | None:
    """Of a run folder; None where it has none.

    Raises:
        StillroomError: the file is not what a run writes; names the file and the key.
    """
    path = Path(folder) / FILE
    if not path.is_file():
        return None
    try:
        return decode(Judgement, json.loads(read_text(path)))
    except json.JSONDecodeError as error:
        raise StillroomError("the file is not JSON", where=f"{path}, line {error.lineno}", got=error.msg) from error
    except StillroomError as error:
        raise error.at(str(path)) from None
