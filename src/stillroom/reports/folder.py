"""The runs that a folder speaks of."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from stillroom.reports.comparison import ROW_NAMES
from stillroom.reports.metrics import Measured, read_metrics
from stillroom.reports.results import Results, RunResults, read_run


@dataclass(frozen=True)
class Run:
    """One run of a report.

    Args:
        label: its folder in a comparison; else what it trained.
        metrics: empty for the teacher of a comparison, whose course is not drawn.
    """

    label: str
    results: RunResults
    metrics: list[Measured]


def read_runs(folder: Path, results: Results) -> list[Run]:
    """The run of a run folder, or all the runs of a comparison folder.

    Raises:
        StillroomError: if a results.json or metrics.csv is missing or broken.
    """
    if isinstance(results, RunResults):
        return [Run(ROW_NAMES[results.role], results, read_metrics(folder))]
    return [
        Run(name, read_run(folder / name), [] if row.name.startswith("teacher") else read_metrics(folder / name))
        for row in results.rows
        for name in row.folders
        # A teacher from elsewhere may be gone by now; what the comparison needs of it stands in its row.
        if not Path(name).is_absolute() or Path(name).exists()
    ]
