"""``stillroom suggest``"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from stillroom.cli.words import add_recipe, recipe_of

if TYPE_CHECKING:
    from rich.table import Table

    from stillroom.diagnosis import Suggestions


def add_arguments(parser: ArgumentParser) -> None:
    add_recipe(parser)
    parser.add_argument("--of", metavar="NAME", help="which teacher, of a recipe with several")
    parser.add_argument(
        "--cka", action="store_true", help="also how similar the values are: linear CKA; information only"
    )


def run(arguments: Namespace) -> None:
    recipe = recipe_of(arguments)

    import rich

    from stillroom.runs.suggest import suggest_for

    advice = suggest_for(recipe, teacher=arguments.of, cka=arguments.cka)
    found = advice.found
    if found.pairs:
        rich.print(_table(found, cka=arguments.cka))
    for line in _remarks(found, trained=advice.trained):
        print(line)
    if found.pairs or found.logits is not None:
        print(f"\n{found.yaml(teacher=advice.teacher)}", end="")


def _table(found: Suggestions, *, cka: bool) -> Table:
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("term", "student", "shape", "teacher", "shape", "why", "connector"):
        table.add_column(column)
    if cka:
        table.add_column("CKA", justify="right")
    for pair in found.pairs:
        cells = [pair.name]
        for stage in (pair.student, pair.teacher):
            cells += [stage.site, " x ".join(map(str, stage.shape[1:]))]
        table.add_row(*cells, pair.reason, pair.adapter.text, *([f"{pair.cka:.2f}"] if pair.cka is not None else []))
    return table


def _remarks(found: Suggestions, *, trained: bool) -> list[str]:
    remarks = [f"{pair.name}: {flag}." for pair in found.pairs for flag in pair.flags]
    remarks += found.notes
    if not trained:
        remarks.append("The teacher is not trained yet: one that has learned nothing stood in for it.")
    if any(pair.cka is not None for pair in found.pairs):
        remarks.append(
            f"CKA of {found.pairs[0].student.shape[0]} samples is information, and chose nothing; of weights that are "
            "not trained, such as the student's, it tells little."
        )
    return remarks
