"""What a training leaves behind, as an object."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rich.table import Table
from torch import nn

from stillroom.reports import ComparisonResults, RunResults, markdown, table, write_report


@dataclass(frozen=True)
class Run:
    """A finished training.

    Attributes:
        folder: the run folder.
        model: the student after the last epoch, your own object in eval mode: no hooks left, no teacher inside.
        results: what it came to, as in ``results.json``.
    """

    folder: Path
    model: nn.Module
    results: RunResults

    def report(self) -> Path:
        """Write ``report.html`` into the folder and return its path."""
        return write_report(self.folder)


@dataclass(frozen=True)
class Comparison:
    """The same student alone and distilled, over several seeds, with the same budget.

    Attributes:
        folder: holds the runs, ``alone-0``, ``distilled-0`` ...
        results: means and deviations, as in ``results.json``.
    """

    folder: Path
    results: ComparisonResults

    def table(self) -> Table:
        """For a terminal: ``rich.print(comparison.table())``."""
        return table(self.folder)

    def markdown(self) -> str:
        """The same table for a README."""
        return markdown(self.folder)

    def report(self) -> Path:
        """Write ``report.html`` into the folder and return its path."""
        return write_report(self.folder)
