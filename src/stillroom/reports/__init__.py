"""Run folders in; tables, Markdown and one self-contained report.html out."""

from __future__ import annotations

from stillroom.reports.comparison import Gain, compare_rows, compare_runs, gain
from stillroom.reports.html import SAMPLES, write_report
from stillroom.reports.metrics import Measured, Part, columns, read_metrics
from stillroom.reports.results import (
    ComparisonResults,
    Cost,
    ModelFacts,
    Row,
    RunResults,
    Score,
    Scores,
    Spread,
    TeacherFacts,
    from_json,
    read,
    read_run,
    to_json,
    write,
)
from stillroom.reports.table import markdown, table

__all__ = [
    "SAMPLES",
    "ComparisonResults",
    "Cost",
    "Gain",
    "Measured",
    "ModelFacts",
    "Part",
    "Row",
    "RunResults",
    "Score",
    "Scores",
    "Spread",
    "TeacherFacts",
    "columns",
    "compare_rows",
    "compare_runs",
    "from_json",
    "gain",
    "markdown",
    "read",
    "read_metrics",
    "read_run",
    "table",
    "to_json",
    "write",
    "write_report",
]
