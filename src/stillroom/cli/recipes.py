"""``stillroom recipes``"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from stillroom.recipes import shipped, summary


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--show", metavar="RECIPE", help="print a recipe as it stands")


def run(arguments: Namespace) -> None:
    from stillroom.recipes import find_recipe

    if arguments.show is not None:
        print(find_recipe(arguments.show, where="--show").read_text(encoding="utf-8"), end="")
        return
    for name, path in shipped().items():
        print(f"{name:30} {summary(path)}")
