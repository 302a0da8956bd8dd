"""``stillroom check``"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from stillroom.cli.words import add_recipe, recipe_of

if TYPE_CHECKING:
    from rich.table import Table

    from stillroom.diagnosis import Finding, TermRow
    from stillroom.runs.checkup import Checkup

STYLES = {"error": "bold red", "warning": "yellow", "note": "cyan"}


def add_arguments(parser: ArgumentParser) -> None:
    add_recipe(parser)
    parser.add_argument(
        "--batches", type=int, metavar="N", default=4, help="validation batches for the teachers, steps to time (4)"
    )


def run(arguments: Namespace) -> int:
    recipe = recipe_of(arguments)

    from rich.console import Console

    from stillroom.runs.checkup import check_recipe

    found = check_recipe(recipe, batches=arguments.batches)
    console = Console(highlight=False, markup=False, soft_wrap=True)
    if found.terms:
        console.print(_terms(found.terms), soft_wrap=False)
        console.print()
    for line in _facts(found):
        console.print(line)
    console.print()
    for finding in found.findings:
        console.print(_said(finding))
    console.print(_counted(found.findings))
    return int(any(finding.severity == "error" for finding in found.findings))


def _terms(rows: tuple[TermRow, ...]) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, header_style="bold", padding=(0, 1), pad_edge=False)
    for column in ("term", "student", "teacher"):
        table.add_column(column, overflow="fold")
    for column in ("loss", "weight", "share", "gradient", "cosine"):
        table.add_column(column, justify="right", no_wrap=True)
    for row in rows:
        words = (
            row.name,
            f"{row.student}\n{row.student_shape}".strip(),
            f"{row.teacher}\n{row.teacher_shape}".strip(),
            _number(row.loss, ".4g", "not now"),
            f"{row.weight:.4g}",
            f"{100 * row.share:.1f} %",
            _number(row.gradient, ".3g"),
            _number(row.cosine, ".2f"),
        )
        table.add_row(*map(Text, words))
    return table


def _facts(found: Checkup) -> list[str]:
    lines = [f"terms.{row.name}.connector: {row.connector}" for row in found.terms if row.connector]
    lines += [
        f"{name}: {size.kind}, {size.parameters:,} parameters, {_number(size.multiply_adds, ',', 'unknown')} "
        "multiply-adds for one sample"
        for name, size in found.models.items()
    ]
    lines += [f"{each.split} data: read {each.read:,} of {each.count:,} samples" for each in found.read]
    if (pace := found.pace) is not None:
        where = "the CPU" if found.device == "cpu" else found.device
        lines.append(
            f"a step of {pace.batch_size} samples: {1e3 * pace.step_seconds:.3g} ms on {where}, without the optimizer; "
            f"reading them: {1e3 * pace.sample_seconds * pace.batch_size:.3g} ms in one process"
        )
        lines.append(
            f"an epoch: {pace.batches:,} batches, about {_duration(pace.epoch_seconds)}; "
            f"{pace.epochs:,} epochs: about {_duration(pace.epochs * pace.epoch_seconds)}"
        )
        peak = f"{pace.peak_bytes / 1e9:.2f} GB" if pace.peak_bytes is not None else f"unknown on {where}"
        lines.append(f"peak memory of a step: {peak}")
    return lines


def _said(finding: Finding) -> object:
    from rich.text import Text

    severity = Text(f"{finding.severity}: ", style=STYLES[finding.severity])
    return severity.append(str(finding.refusal()), style="default")


def _counted(findings: tuple[Finding, ...]) -> str:
    counts = {name: sum(finding.severity == name for finding in findings) for name in STYLES}
    said = [f"{count} {name}{'s' if count > 1 else ''}" for name, count in counts.items() if count]
    return ", ".join(said) or "Nothing was found."


def _number(value: float | None, form: str, absent: str = "") -> str:
    return absent if value is None else format(value, form)


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
