"""The losses of the library as one table, found from the classes themselves."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from inspect import Parameter
from typing import cast, get_args

import yaml
from torch import nn

from stillroom import losses
from stillroom.errors import StillroomError, did_you_mean
from stillroom.losses.facts import Facts, Kind
from stillroom.recipes import shipped
from stillroom.reports.words import NONE

MOST = 3
"""Recipes that are named of one loss."""
HEADER = ("loss", "kind", "reads", "needs", "usual connector", "costs", "recipes", "paper")


def methods() -> dict[str, type[nn.Module]]:
    """Every exported loss by name, kind by kind."""
    exported = ((name, getattr(losses, name)) for name in losses.__all__)
    kinds = {name: kind for name, kind in exported if isinstance(kind, type) and issubclass(kind, nn.Module)}
    order = get_args(Kind)
    return {name: kinds[name] for name in sorted(kinds, key=lambda n: (order.index(_facts(kinds[n]).kind), n.lower()))}


def rows() -> list[list[str]]:
    """A row of text for each loss, in the order of :data:`HEADER`."""
    used = _recipes()
    return [_row(name, kind, used) for name, kind in methods().items()]


def markdown() -> str:
    """The table in Markdown."""
    lines = [HEADER, ["---"] * len(HEADER), *([f"`{name}`", *rest] for name, *rest in rows())]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def explanation(name: str) -> str:
    """One loss: how it is made, with its defaults, what it says of itself, and its row of the table.

    Raises:
        StillroomError: if there is no loss of that name.
    """
    known = methods()
    if name not in known:
        raise StillroomError(f"there is no loss {name!r}", fix=did_you_mean(name, known))
    facts = zip(HEADER[1:], _row(name, known[name], _recipes())[1:], strict=True)
    row = "\n".join(f"{title + ':':{max(map(len, HEADER)) + 1}} {text}" for title, text in facts)
    return f"{name}({_arguments(known[name])})\n\n{inspect.getdoc(known[name])}\n\n{row}\n"


def _row(name: str, kind: type[nn.Module], recipes: Mapping[str, set[str]]) -> list[str]:
    facts = _facts(kind)
    _, _, *needs = inspect.signature(kind.forward).parameters  # after self and what the gradient is for
    used = _few(sorted(recipes.get(name, ())))
    texts = (", ".join(needs), _connector(facts), facts.cost, used, facts.paper)
    return [name, facts.kind, facts.reads, *(text or NONE for text in texts)]


def _few(names: list[str]) -> str:
    if len(names) <= MOST:
        return ", ".join(names)
    return f"{', '.join(names[: MOST - 1])} and {len(names) - MOST + 1} more"


def _recipes() -> dict[str, set[str]]:
    """The shipped recipes that have a term with the loss, by its name."""
    found: dict[str, set[str]] = {}
    for recipe, path in shipped().items():
        plain = yaml.safe_load(path.read_text(encoding="utf-8"))
        for section in (plain, *plain.get("variants", {}).values()):
            for term in section.get("terms", {}).values():
                loss = term["loss"]
                name = str(loss if isinstance(loss, str) else loss["class_path"]).rpartition(".")[2]
                found.setdefault(name, set()).add(recipe)
    return found


def _connector(facts: Facts) -> str:
    student = " or ".join(facts.connectors)
    return f"{student}; teacher: {facts.teacher_connector}" if facts.teacher_connector else student


def _arguments(kind: type[nn.Module]) -> str:
    """The constructor's arguments; none for a loss that has only that of every module."""
    loose = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
    found = [argument for argument in inspect.signature(kind).parameters.values() if argument.kind not in loose]
    return ", ".join(
        argument.name if argument.default is Parameter.empty else f"{argument.name}={argument.default!r}"
        for argument in found
    )


def _facts(kind: type[nn.Module]) -> Facts:
    return cast("Facts", vars(kind)["facts"])
