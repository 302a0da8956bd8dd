"""``stillroom demo``"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from stillroom.cli.compare import SEEDS
from stillroom.cli.words import add_out, add_overrides, show

RECIPE = "digits"


def add_arguments(parser: ArgumentParser) -> None:
    add_overrides(parser, "change the recipe (-o trainer.max_epochs=5)")
    add_out(parser, "the folder of the comparison (default: runs/digits-TIME)")


def run(arguments: Namespace) -> None:
    from stillroom.runs import compare_recipe, read_recipe
    from stillroom.runs.folder import new_folder

    recipe = read_recipe(RECIPE, arguments.override)
    folder = new_folder(recipe.name, None if arguments.out is None else Path(arguments.out))
    print(f"Recipe {RECIPE!r}: a teacher, then a small student alone and distilled, {SEEDS} seeds each.")
    done = compare_recipe(recipe, seeds=SEEDS, out=folder)
    show(done.folder)
