"""``-o key=value``: reaching into a recipe's plain mapping before it is checked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

import yaml

from stillroom.errors import StillroomError, did_you_mean
from stillroom.runs.build import PARTS, accepts, qualified

HOMES: Mapping[str, str] = {
    "student": "stillroom.models",
    "alone": "stillroom.models",
    "model": "stillroom.models",
    "algorithm": "stillroom.algorithms",
    "data": "stillroom.data",
    "task": "torch.nn",
    "optimizer": "torch.optim",
    "scheduler": "torch.optim.lr_scheduler",
    "loss": "stillroom.losses",
    "connector": "stillroom.connectors",
    "teacher_connector": "stillroom.connectors",
    "weight": "stillroom.distillers",
    "task_weight": "stillroom.distillers",
    "transform": "stillroom.connectors",
}
"""The package in which a class name without a dot is looked up, by the last key of its section."""
RECORDERS, DELIVERIES = "stillroom.recorders", "stillroom.deliveries"
"""The same for the sites of a term and for deliveries."""
NAMED: Mapping[str, str] = {"terms": "term", "deliveries": "delivery", "teachers": "teacher"}
"""What a section holds under names that the recipe gives."""


def overridden(recipe: Mapping[str, Any], overrides: Iterable[str]) -> dict[str, Any]:
    """A copy of the recipe with ``key=value`` words applied in order.

    Keys are dotted; inside a class's section an argument may stand without ``init_args`` (``data.root=...``). Values
    are read as YAML. A new ``class_path`` keeps those arguments that the new class accepts. ``terms.kl=null`` takes a
    term out, ``deliveries.mask=null`` a delivery, ``teachers.big=null`` a teacher. A teacher that is but named may get
    keys: ``teacher.check=false``.

    Raises:
        StillroomError: a word without ``=``, a key that leads through something that is no mapping, or a term or
            delivery to take out that is not there.
    """
    result = cast("dict[str, Any]", _copied(recipe))
    for word in overrides:
        key, equals, text = word.partition("=")
        if not equals or not key:
            raise StillroomError("an override is key=value", where="-o", got=repr(word))
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError:
            raise StillroomError("the value is no YAML", where=f"-o {key}", got=repr(text)) from None
        _set(result, key, value)
    return result


def is_class_section(path: tuple[str, ...]) -> bool:
    """Whether the section at this path names a class: ``("data",)``, ``("terms", "kl", "loss")``."""
    if path[0] == "terms":
        return len(path) == 3 and path[2] in HOMES
    if path[0] == "deliveries":
        return len(path) == 2
    if path[0] in ("teacher", "teachers"):
        # One of several has a name in between.
        return len(path) == 2 + (path[0] == "teachers") and path[-1] in HOMES and path[-1] != "weight"
    return len(path) == 1 and path[0] in HOMES


def is_teacher(path: tuple[str, ...]) -> bool:
    """Whether a teacher stands at this path: a section, or the name of what it comes from."""
    return path == ("teacher",) or (len(path) == 2 and path[0] == "teachers")


def _set(recipe: dict[str, Any], key: str, value: Any) -> None:
    path = tuple(key.split("."))
    node, at = recipe, 0
    while at < len(path) - 1:
        here = path[: at + 1]
        node = _section(node, path[at], here, key)
        at += 1
        if is_class_section(here) and path[at] not in PARTS:
            node = _section(node, "init_args", (*here, "init_args"), key)
    if len(path) == 2 and path[0] in NAMED and value is None:
        if path[1] not in node:
            what = f"there is no {NAMED[path[0]]} {path[1]!r}"
            raise StillroomError(what, where=f"-o {key}", fix=did_you_mean(path[1], node))
        del node[path[1]]
        return
    if path[-1] == "class_path" and is_class_section(path[:-1]):
        _keep_accepted(node, path[:-1], value)
    node[path[-1]] = value


def _section(node: dict[str, Any], name: str, here: tuple[str, ...], key: str) -> dict[str, Any]:
    inner = node.get(name)
    if inner is None:
        inner = {}
    elif isinstance(inner, str) and (is_class_section(here) or is_teacher(here)):
        inner = {"class_path" if is_class_section(here) else "from": inner}
    elif not isinstance(inner, dict):
        raise StillroomError(f"{'.'.join(here)} is {inner!r}, not a mapping", where=f"-o {key}")
    node[name] = inner
    return cast("dict[str, Any]", inner)


def _keep_accepted(node: dict[str, Any], path: tuple[str, ...], class_path: Any) -> None:
    where = ".".join(path)
    target = qualified(where, class_path, _home(path))
    kept = {name: value for name, value in (node.get("init_args") or {}).items() if accepts(where, target, name)}
    node["init_args"] = kept


def _home(path: tuple[str, ...]) -> str:
    if path[0] == "deliveries":
        return DELIVERIES
    return RECORDERS if path[0] == "terms" and path[-1] in ("student", "teacher") else HOMES[path[-1]]


def _copied(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _copied(item) for key, item in cast("Mapping[Any, Any]", value).items()}
    return [_copied(item) for item in cast("list[Any]", value)] if isinstance(value, list) else value
