"""``stillroom train``"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from stillroom.cli.words import LISTED, add_out, add_recipe, recipe_of, show
from stillroom.errors import StillroomError


def add_arguments(parser: ArgumentParser) -> None:
    add_recipe(parser)
    parser.add_argument("-r", "--resume", metavar="RUN", help="go on with a stopped run: its folder, or a checkpoint")
    add_out(parser, "the run folder (default: runs/RECIPE-TIME)")


def run(arguments: Namespace) -> None:
    one_of(arguments)
    recipe = None if arguments.config is None else recipe_of(arguments)

    from stillroom.runs import resume, train

    done = resume(arguments.resume, arguments.override) if recipe is None else train(recipe, out=arguments.out)
    show(done.folder)


def one_of(arguments: Namespace) -> None:
    """Either a recipe or a run to resume, and with the latter nothing that a run has decided already.

    Raises:
        StillroomError: neither, or both.
    """
    if arguments.resume is None and arguments.config is None:
        raise StillroomError("which recipe?", expected="-c RECIPE, or -r RUN", fix=LISTED)
    if arguments.resume is not None:
        for letter, value in (("-c", arguments.config), ("-t", arguments.teacher), ("--out", arguments.out)):
            if value is not None:
                raise StillroomError(f"-r goes on with a run as it was begun; {letter} cannot change it", got=value)
