"""``stillroom compare``"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from stillroom.cli.train import one_of
from stillroom.cli.words import add_out, add_recipe, recipe_of, show
from stillroom.errors import StillroomError

SEEDS = 3


def add_arguments(parser: ArgumentParser) -> None:
    add_recipe(parser)
    parser.add_argument("--seeds", metavar="N", type=int, help=f"runs of each kind (default: {SEEDS})")
    parser.add_argument("-r", "--resume", metavar="FOLDER", help="go on with a stopped comparison")
    add_out(parser, "the folder of the comparison (default: runs/RECIPE-TIME)")


def run(arguments: Namespace) -> None:
    one_of(arguments)
    recipe = None if arguments.config is None else recipe_of(arguments)

    from stillroom.runs import compare_recipe, resume_comparison

    if recipe is None:
        for letter, value in (("-o", arguments.override or None), ("--seeds", arguments.seeds)):
            if value is not None:
                raise StillroomError("-r goes on with a comparison as it was begun", where=letter, got=value)
        done = resume_comparison(arguments.resume)
    else:
        done = compare_recipe(recipe, seeds=SEEDS if arguments.seeds is None else arguments.seeds, out=arguments.out)
    show(done.folder)
