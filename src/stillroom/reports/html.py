"""report.html: one file that opens from a disk without a network, in light and dark, on a wide screen and a phone."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from stillroom.files import read_text, write_text
from stillroom.reports import words
from stillroom.reports.beside import beside
from stillroom.reports.comparison import ROW_NAMES
from stillroom.reports.folder import Run, read_runs
from stillroom.reports.judgement import read_judgement
from stillroom.reports.measures import classes, measures
from stillroom.reports.results import ComparisonResults, Results, RunResults, Score, TeacherFacts, read
from stillroom.reports.table import Cells, cells

FILE = "report.html"
SAMPLES = "samples.png"
"""Images that were generated in a run; a report shows them where its folder holds this file."""
DETECTIONS = "detections.png"
"""Images with what the model of a run found in them; likewise, and of a comparison those of the student distilled."""


def write_report(folder: str | Path) -> Path:
    """Writes report.html into a run folder or a comparison folder, whole or not at all.

    Returns:
        The path of report.html.

    Raises:
        StillroomError: if results.json, or a results.json or metrics.csv that it speaks of, is missing or broken.
    """
    # Here, so that importing the room does not import matplotlib.
    from stillroom.reports import figures

    folder = Path(folder)
    results = read(folder)
    runs = read_runs(folder, results)
    judgement = read_judgement(folder / _judged(results))
    teachers = next((run.results.teacher for run in runs if run.results.teacher), {})
    page = _template("report.html").render(
        style=Markup(_package_text("report.css")),
        words=words,
        results=results,
        kind="Comparison" if isinstance(results, ComparisonResults) else "Run",
        table=cells(results),
        learning=figures.learning(results, runs),
        parts=figures.parts(runs),
        task_parts=figures.task_parts(runs),
        measures=measures(results, runs),
        classes=classes(results, runs),
        costs=_costs(runs),
        teachers=_teachers(teachers, results.metric),
        companions=_companions(runs),
        beside=None if judgement is None else beside(judgement, figures.calibration(judgement)),
        samples=_picture(folder / SAMPLES),
        detections=_picture(folder / _judged(results) / DETECTIONS),
        config=_config(folder),
    )
    return write_text(folder / FILE, page)


def _costs(runs: Sequence[Run]) -> Cells:
    header = ["", "seed", "epochs", "training, s", "s per epoch", "samples per s", "peak memory, MB"]
    rows: list[list[str]] = []
    for run in runs:
        cost = run.results.cost
        measured = (run.results.seconds, cost.seconds_per_epoch, cost.samples_per_second, cost.peak_memory_mb)
        rows.append([run.label, str(run.results.seed), str(run.results.epochs), *map(words.number, measured)])
    return Cells("Cost", header, rows, [])


def _teachers(teachers: dict[str, TeacherFacts], metric: str) -> Cells:
    rows = [
        [name, facts.folder or words.NONE, _told(facts.test, metric), _told(facts.validation, metric)]
        for name, facts in teachers.items()
    ]
    return Cells("Teacher", ["", "folder", "test", "validation"], rows, [])


def _companions(runs: Sequence[Run]) -> Cells:
    rows = [
        [f"{run.label}: {name}", *(_told(score, run.results.metric) for score in (facts.test, facts.validation))]
        for run in runs
        for name, facts in run.results.companions.items()
    ]
    return Cells("Trained beside the student", ["", "test", "validation"], rows, [])


def _judged(results: Results) -> str:
    """The folder of the run that is set beside its teacher: of a comparison, the first student distilled."""
    if isinstance(results, RunResults):
        return "."
    return next(row.folders[0] for row in results.rows if row.name == ROW_NAMES["distilled"])


def _told(score: Score | None, metric: str) -> str:
    return words.NONE if score is None else f"{words.measure(score, metric)} {words.reached(score)}"


def _config(folder: Path) -> str | None:
    path = folder / "config.yaml"
    return read_text(path) if path.exists() else None


def _picture(path: Path) -> str | None:
    """Its address, which holds the whole file; None where there is none."""
    return f"data:image/png;base64,{b64encode(path.read_bytes()).decode()}" if path.is_file() else None


def _template(name: str) -> Template:
    pages = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return pages.from_string(_package_text(name))


def _package_text(name: str) -> str:
    return (resources.files("stillroom.reports") / name).read_text(encoding="utf-8")
