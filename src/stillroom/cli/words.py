"""What the commands share: the letters, and how ``-o`` reads its words."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from stillroom.errors import StillroomError
from stillroom.recipes import find_recipe

if TYPE_CHECKING:
    from stillroom.runs import Recipe

LISTED = "`stillroom recipes` lists those that are shipped."
SOURCE = "a run folder, a checkpoint in one, or a model file with its model.json"


def with_overrides(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """The words without those of ``-o``, and the ``key=value`` words of every ``-o``.

    ``-o`` takes the words with ``=`` that follow it and no others, so that it may stand in front of a run folder.

    Raises:
        StillroomError: no such word follows.
    """
    rest: list[str] = []
    overrides: list[str] = []
    taking = False
    for index, word in enumerate(words):
        if word == "--":
            return [*rest, *words[index:]], overrides
        if word.startswith("--override="):
            overrides.append(word.removeprefix("--override="))
            taking = True
        elif word in ("-o", "--override"):
            following = "".join(words[index + 1 : index + 2])
            if not _is_override(following):
                raise StillroomError("an override is key=value", where="-o", got=repr(following))
            taking = True
        elif word.startswith("-o"):
            overrides.append(word.removeprefix("-o").removeprefix("="))
            taking = True
        elif taking and _is_override(word):
            overrides.append(word)
        else:
            taking = False
            rest.append(word)
    return rest, overrides


def _is_override(word: str) -> bool:
    return "=" in word and not word.startswith("-")


def add_recipe(parser: ArgumentParser, *, default: str | None = None) -> None:
    parser.add_argument(
        "-c", "--config", metavar="RECIPE", default=default, help="a recipe's name, or the path of a YAML file"
    )
    add_overrides(parser, "change the recipe: typed values, dotted keys (-o trainer.max_epochs=10 student.width=8)")
    parser.add_argument(
        "-t",
        "--teacher",
        metavar="TEACHER",
        help="in place of the recipe's teacher: a recipe, a run folder, a checkpoint or a file of weights",
    )


def add_overrides(parser: ArgumentParser, text: str) -> None:
    parser.add_argument("-o", "--override", metavar="KEY=VALUE", nargs="*", default=[], help=text)


def add_out(parser: ArgumentParser, text: str) -> None:
    parser.add_argument("--out", metavar="FOLDER", help=text)


def add_source(parser: ArgumentParser) -> None:
    parser.add_argument("source", help=SOURCE)
    add_overrides(parser, "change the data (-o data.root=/data)")


def recipe_of(arguments: Namespace) -> Recipe:
    """The recipe that the words ask for.

    Raises:
        StillroomError: none is named, or there is none of that name, which is told before anything large is imported;
            as of :func:`~stillroom.runs.read_recipe`.
    """
    if arguments.config is None:
        raise StillroomError("which recipe?", expected="-c RECIPE", fix=LISTED)
    path = find_recipe(arguments.config)

    from stillroom.runs import read_recipe

    return read_recipe(path, arguments.override, teacher=arguments.teacher)


def show(folder: Path) -> None:
    """What a training came to; of several processes that train together the first one, which wrote it, says it."""
    import rich

    from stillroom.reports import table
    from stillroom.runs.folder import is_first_process

    if is_first_process():
        rich.print(table(folder))
        print(f"Run folder: {folder}\nReport: {folder / 'report.html'}")
