"""``stillroom compare``"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from stillroom.cli.train import one_of
from stillroom.cli.words import add_out, add_recipe
from stillroom.errors import StillroomError

if TYPE_CHECKING:
    from stillroom.runs import Comparison

SEEDS = 3


def add_arguments(parser: ArgumentParser) -> None:
    add_recipe(parser)
    parser.add_argument("--seeds", metavar="N", type=int, help=f"runs of each kind (default: {SEEDS})")
    parser.add_argument("-r", "--resume", metavar="FOLDER", help="go on with a stopped comparison")
    add_out(parser, "the folder of the comparison (default: runs/RECIPE-TIME)")


def run(arguments: Namespace) -> None:
    from stillroom.runs import compare_recipe, read_recipe, resume_comparison

    one_of(arguments)
    if arguments.resume is not None:
        for letter, value in (("-o", arguments.override or None), ("--seeds", arguments.seeds)):
            if value is not None:
                raise StillroomError("-r goes on with a comparison as it was begun", where=letter, got=value)
        show(resume_comparison(arguments.resume))
    else:
        recipe = read_recipe(arguments.config, arguments.override, teacher=arguments.teacher)
        show(compare_recipe(recipe, seeds=SEEDS if arguments.seeds is None else arguments.seeds, out=arguments.out))


def show(comparison: Comparison) -> None:
    import rich

    from stillroom.runs.folder import is_first_process

    if is_first_process():  # of those that train together
        rich.print(comparison.table())
        print(f"Run folder: {comparison.folder}\nReport: {comparison.folder / 'report.html'}")
