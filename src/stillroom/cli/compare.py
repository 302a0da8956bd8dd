"""``stillroom compare``"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from stillroom.cli.train import one_of
from stillroom.cli.words import add_out, add_recipe
from stillroom.errors import StillroomError

if TYPE_CHECKING:
    from stillroom.runs import Comparison


def add_arguments(parser: ArgumentParser) -> None:
    add_recipe(parser)
    parser.add_argument("--seeds", metavar="N", type=int, default=3, help="runs of each kind (default: 3)")
    parser.add_argument("-r", "--resume", metavar="FOLDER", help="go on with a stopped comparison")
    add_out(parser, "the folder of the comparison (default: runs/RECIPE-TIME)")


def run(arguments: Namespace) -> None:
    from stillroom.runs import compare_recipe, read_recipe, resume_comparison

    one_of(arguments)
    if arguments.resume is not None:
        if arguments.override:
            raise StillroomError("-r goes on with a comparison as it was begun", where="-o", got=arguments.override)
        show(resume_comparison(arguments.resume))
    else:
        recipe = read_recipe(arguments.config, arguments.override, teacher=arguments.teacher)
        show(compare_recipe(recipe, seeds=arguments.seeds, out=arguments.out))


def show(comparison: Comparison) -> None:
    import rich

    rich.print(comparison.table())
    print(f"Run folder: {comparison.folder}\nReport: {comparison.folder / 'report.html'}")
