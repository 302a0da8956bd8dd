"""Run folders in; tables, Markdown and one self-contained report.html out."""

from __future__ import annotations

from stillroom.reports.comparison import Gain, compare_rows, compare_runs, gain
from stillroom.reports.html import DETECTIONS, SAMPLES, write_report
from stillroom.reports.judgement import (
    Bin,
    Calibration,
    Disagreement,
    Judgement,
    Likeness,
    Swap,
    read_judgement,
    write_judgement,
)
from stillroom.reports.metrics import Measured, Part, columns, inside_task, read_metrics
from stillroom.reports.results import (
    ComparisonResults,
    Cost,
    ModelFacts,
    Row,
    RunResults,
    Score,
    Scores,
    Split,
    Spread,
    TeacherFacts,
    from_json,
    read,
    read_run,
    to_json,
    write,
)
from stillroom.reports.table import Cells, markdown, table, to_terminal

__all__ = [
    "DETECTIONS",
    "SAMPLES",
    "Bin",
    "Calibration",
    "Cells",
    "ComparisonResults",
    "Cost",
    "Disagreement",
    "Gain",
    "Judgement",
    "Likeness",
    "Measured",
    "ModelFacts",
    "Part",
    "Row",
    "RunResults",
    "Score",
    "Scores",
    "Split",
    "Spread",
    "Swap",
    "TeacherFacts",
    "columns",
    "compare_rows",
    "compare_runs",
    "from_json",
    "gain",
    "inside_task",
    "markdown",
    "read",
    "read_judgement",
    "read_metrics",
    "read_run",
    "table",
    "to_json",
    "to_terminal",
    "write",
    "write_judgement",
    "write_report",
]
