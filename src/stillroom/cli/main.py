"""``stillroom``: finds the command and turns errors into one line and a status."""

from __future__ import annotations

import argparse
import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from importlib import import_module
from typing import Protocol, cast

from stillroom.cli.keys import RecipeParser
from stillroom.cli.words import with_overrides
from stillroom.errors import StillroomError, did_you_mean
from stillroom.recipes import is_recipe

COMMANDS = {
    "demo": "see distillation work on real handwritten digits, in a minute",
    "train": "train a recipe's student, and its teacher where it has none yet",
    "compare": "train the student alone and distilled, over several seeds",
    "eval": "measure a trained model on its data",
    "infer": "classify image files, or find the objects on them",
    "inspect": "list every site of a model",
    "suggest": "find sites of a recipe's student and teacher that belong together, as terms to paste",
    "check": "examine a recipe with a few batches: each term's strength, teachers, data, costs, and what is wrong",
    "export": "write safetensors, ONNX or torch.export, checked against the model",
    "report": "write report.html of a run or a comparison, and print its table",
    "recipes": "list the recipes",
    "methods": "list the losses, or explain one",
}
UNREAD = 128 + 13
"""The status that shells give a process which SIGPIPE, unknown to Windows, has ended."""
WITH_RECIPE = ("train", "compare", "check")


class Command(Protocol):
    """What a command's module has."""

    def add_arguments(self, parser: ArgumentParser) -> None: ...

    def run(self, arguments: Namespace) -> int | None: ...


def main(words: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        0; 1 where ``check`` found an error; 2 for a mistake that the message explains; 130 or 143 where a signal ended
        a training; 141 where nobody reads the output any more.
    """
    given = list(sys.argv[1:] if words is None else words)
    try:
        try:
            return _ran(given)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        # What is left in the buffer goes nowhere, and Python does not complain about it when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return UNREAD


def _ran(given: list[str]) -> int:
    try:
        name, rest = _command(given)
        command = cast("Command", import_module(f"stillroom.cli.{name}"))
        kind = RecipeParser if name in WITH_RECIPE else ArgumentParser
        parser = kind(prog=f"stillroom {name}", description=COMMANDS[name].capitalize() + ".", allow_abbrev=False)
        command.add_arguments(parser)
        return command.run(_parsed(parser, rest)) or 0
    except StillroomError as error:
        print(f"stillroom: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stillroom: interrupted", file=sys.stderr)
        return 130
    except Exception as error:
        return _interrupted(error)


def _parsed(parser: ArgumentParser, words: list[str]) -> Namespace:
    rest, overrides = with_overrides(words)
    arguments, unknown = parser.parse_known_args(rest)
    if unknown:
        wanted = [word for word in unknown if getattr(arguments, "config", "") is None and is_recipe(word)]
        hint = f"; did you mean -c {wanted[0]}?" if wanted else ""
        parser.error(f"unrecognized arguments: {' '.join(unknown)}{hint}")
    if overrides and not hasattr(arguments, "override"):
        parser.error(f"this command takes no -o (got {' '.join(overrides)})")
    arguments.override = overrides
    return arguments


def _command(words: list[str]) -> tuple[str, list[str]]:
    width = max(map(len, COMMANDS))
    listing = "\n".join(f"  {name:{width}}  {text}" for name, text in COMMANDS.items())
    parser = ArgumentParser(
        prog="stillroom",
        description="Knowledge distillation: a large trained network makes a small one better.",
        epilog=f"commands:\n{listing}\n\nstillroom COMMAND --help explains each.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", metavar="COMMAND", help="one of those below")
    name = parser.parse_args(words[:1] or ["--help"]).command
    if name not in COMMANDS:
        raise StillroomError(f"there is no command {name!r}", fix=did_you_mean(name, COMMANDS))
    return name, words[1:]


def _interrupted(error: Exception) -> int:
    """The status after a signal; any other error is not ours to hide."""
    from stillroom.runs import InterruptedRun

    if not isinstance(error, InterruptedRun):
        raise error
    print(f"stillroom: {error}", file=sys.stderr)
    return 128 + error.signal_number
