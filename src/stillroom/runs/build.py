"""From ``{class_path, init_args}`` to an object: the typed constructor is the schema."""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from argparse import ArgumentError
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, cast

from stillroom.errors import StillroomError, did_you_mean

PARTS = ("class_path", "init_args", "dict_kwargs")
HOME_OF_MAKERS = "stillroom.models"
"""Where functions make objects too; elsewhere only classes do."""


@dataclass(frozen=True)
class Spec:
    """A checked class path with its arguments.

    Attributes:
        where: the recipe key that it came from.
        class_path: dotted path of a class, or of a function that makes the object.
        init_args: every argument with its value, defaults included; those that YAML cannot hold are left out.
        dict_kwargs: arguments that went into an untyped ``**kwargs``.
        target: the class or function.
        fresh: makes the given arguments: an object that is itself given by class path is a new one each time.
    """

    where: str
    class_path: str
    init_args: dict[str, Any]
    dict_kwargs: dict[str, Any]
    target: Callable[..., Any]
    fresh: Callable[[], dict[str, Any]]

    @property
    def arguments(self) -> dict[str, Any]:
        """What ``target`` is called with by keyword."""
        return {**self.fresh(), **self.dict_kwargs}

    def make(self, *positional: Any) -> Any:
        """Call the target.

        Raises:
            StillroomError: it refused its arguments.
        """
        try:
            return self.target(*positional, **self.arguments)
        except StillroomError as error:
            raise error.at(self.where) from None
        except (TypeError, ValueError, RuntimeError) as error:
            raise StillroomError(
                f"{self.class_path} refused its arguments: {_one_line(str(error))}", where=self.where
            ) from error

    def maker(self) -> Callable[..., Any]:
        """What calls the target with further arguments besides its own; objects among these are made now, once."""
        return partial(self.target, **self.arguments)

    def plain(self) -> dict[str, Any]:
        """As it is written into a recipe."""
        parts = {"class_path": self.class_path, "init_args": self.init_args}
        return parts | {"dict_kwargs": self.dict_kwargs} if self.dict_kwargs else parts


def spec(where: str, given: object, *, home: str, skip: Sequence[str] = ()) -> Spec:
    """Check a class path and its arguments against the signature that they are for.

    Args:
        where: the recipe key, for messages.
        given: a class path, or a mapping with ``class_path`` and, if wanted, ``init_args`` and ``dict_kwargs``
            (arguments that go into an untyped ``**kwargs``, unchecked).
        home: the package in which names without a dot are looked up.
        skip: leading arguments that are passed when the object is made.

    Raises:
        StillroomError: no such class, an unknown or missing argument, or a value of the wrong type; names the key.
    """
    parts: dict[str, Any] = {"class_path": given} if isinstance(given, str) else mapping(where, given)
    expect_known(where, parts, PARTS)
    class_path = qualified(where, parts.get("class_path"), home)
    target = _imported(where, class_path)
    init_args = mapping(f"{where}.init_args", parts.get("init_args"))
    extra = mapping(f"{where}.dict_kwargs", parts.get("dict_kwargs"))
    complete, fresh = _typed(where, target, init_args, skip)
    return Spec(where, class_path, complete, extra, target, fresh)


def accepts(where: str, class_path: str, argument: str) -> bool:
    """Whether the class or function has an argument of this name.

    Raises:
        StillroomError: there is no such class.
    """
    return argument in _parser(_imported(where, class_path), ())[1]


def mapping(where: str, given: object) -> dict[str, Any]:
    """A copy of the section at this key; an empty one where there is none.

    Raises:
        StillroomError: it is no mapping.
    """
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise StillroomError("this must be a mapping", where=where, got=repr(given))
    return dict(cast("Mapping[str, Any]", given))


def number(where: str, given: Any) -> float:
    """The number at this key; also one that YAML reads as text, such as 1e-3.

    Raises:
        StillroomError: it is none.
    """
    try:
        if isinstance(given, bool):
            raise TypeError
        return float(given)
    except (TypeError, ValueError):
        raise StillroomError("this must be a number", where=where, got=repr(given)) from None


def expect_known(where: str, section: Iterable[object], keys: Sequence[str]) -> None:
    """Refuse a key that means nothing.

    Raises:
        StillroomError: gives the nearest of those that do.
    """
    for key in section:
        if key not in keys:
            raise StillroomError(f"unknown key {key!r}", where=where, fix=did_you_mean(str(key), keys))


def qualified(where: str, name: object, home: str) -> str:
    """The full class path of a name: one without a dot is looked up in the package ``home``.

    Raises:
        StillroomError: there is none of that name; gives the nearest.
    """
    if not isinstance(name, str) or not name:
        raise StillroomError(
            "class_path is missing", where=where, expected='"Name", "package.Name" or {class_path: ..., init_args: ...}'
        )
    if "." in name:
        return name
    known = importlib.import_module(home)
    names: Sequence[str] = getattr(known, "__all__", None) or [n for n in vars(known) if not n.startswith("_")]
    if home != HOME_OF_MAKERS:
        names = [other for other in names if inspect.isclass(getattr(known, other))]
    if name not in names:
        raise StillroomError(
            f"there is no {name!r} in {home}",
            where=where,
            fix=f"{did_you_mean(name, names)} A class of your own needs its full path: package.{name}.",
        )
    return f"{home}.{name}"


def _imported(where: str, class_path: str) -> Callable[..., Any]:
    """The object at a dotted path; the working directory counts, so that a user's own module is found."""
    if not all(part.isidentifier() for part in class_path.split(".")):
        raise StillroomError("this is no class path", where=where, expected="package.module.Name", got=repr(class_path))
    here = str(Path.cwd())
    if here not in sys.path and "" not in sys.path:
        sys.path.append(here)
    module_name, _, name = class_path.rpartition(".")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise StillroomError(
            f"cannot import {module_name!r} ({error.name!r} is not there)",
            where=where,
            got=class_path,
            fix="Check the spelling; a module of your own must lie in the working directory or be installed.",
        ) from None
    target = getattr(module, name, None)
    if not callable(target):
        public = [other for other, value in vars(module).items() if callable(value) and not other.startswith("_")]
        raise StillroomError(f"{module_name} has no {name!r}", where=where, fix=did_you_mean(name, public))
    try:
        inspect.signature(target)
    except ValueError:
        raise StillroomError(f"{class_path} has no signature to check arguments against", where=where) from None
    return target


@lru_cache(maxsize=64)
def _parser(target: Callable[..., Any], skip: tuple[str, ...]) -> tuple[Any, list[str]]:
    """The parser of its arguments, and their names: kept, for reading signatures is most of reading a recipe."""
    from jsonargparse import ArgumentParser

    parser = ArgumentParser(exit_on_error=False)
    add = parser.add_class_arguments if inspect.isclass(target) else parser.add_function_arguments
    names: Any = add(target, fail_untyped=False, skip=set(skip))  # pyright: ignore[reportArgumentType]
    return parser, list(names)


def _typed(
    where: str, target: Callable[..., Any], given: dict[str, Any], skip: Sequence[str]
) -> tuple[dict[str, Any], Callable[[], dict[str, Any]]]:
    """The arguments with their types applied: all of them as YAML holds them, and what makes objects of those given."""
    parser, names = _parser(target, tuple(skip))
    label = getattr(target, "__name__", str(target))
    for name in given:
        if name not in names:
            raise StillroomError(f"{label} has no argument {name!r}", where=where, fix=did_you_mean(name, names))
    required = [
        p.name for p in inspect.signature(target).parameters.values() if p.name in names and p.default is p.empty
    ]
    if missing := [name for name in required if name not in given]:
        raise StillroomError(f"{label} needs the argument {missing[0]!r}", where=where)

    def fresh() -> dict[str, Any]:
        objects = parser.instantiate(parsed.clone())
        return {name: objects[name] for name in given}

    try:
        parsed = parser.parse_object(given)
        fresh()
    except (ArgumentError, TypeError, ValueError) as error:
        raise _refused(where, label, given, error) from None
    plain = {name: value.name if isinstance(value, Enum) else value for name, value in parsed.as_dict().items()}
    return {name: value for name, value in plain.items() if _is_plain(value)}, fresh


def _refused(where: str, label: str, given: dict[str, Any], error: Exception) -> StillroomError:
    """jsonargparse nests its messages: the first key in them says which argument, each "Expected" what would do."""
    if isinstance(error, StillroomError):
        return error.at(where)
    text = _one_line(str(error))
    if empty := re.search(r"arguments are required: ([\w.]+)", text):
        return StillroomError(f"{label} needs a value here", where=f"{where}.{empty[1]}", got="null")
    key = re.search(r'Parser key "([^"]+)"', text)
    if key is None:
        return StillroomError(f"{label} refused its arguments: {text}", where=where)
    if unknown := re.search(r"class_path '([\w.]+)': Option '(\w+)' is not accepted", text):
        inner, names = unknown[1].rpartition(".")[2], _parser(_imported(where, unknown[1]), ())[1]
        what, fix = f"{inner} has no argument {unknown[2]!r}", did_you_mean(unknown[2], names)
        return StillroomError(what, where=f"{where}.{key[1]}", fix=fix)
    types = dict.fromkeys(re.findall(r"Expected an? (?:<class '(?:\w+\.)*)?([^'>.:]+)", text))
    types |= dict.fromkeys(re.findall(r"- (?:<class ')?([A-Za-z_.]+)'?>?: ", text))
    types.pop("dot import path string", None)  # for what no recipe can hold, such as a tensor
    value = repr(given.get(key[1].split(".")[0]))
    expected = " or ".join(types) or f"what fits ({text})"
    return StillroomError(f"{label} refused this value", where=f"{where}.{key[1]}", expected=expected, got=value)


def _is_plain(value: object) -> bool:
    if isinstance(value, Mapping):
        return all(isinstance(key, str) and _is_plain(item) for key, item in cast("Mapping[Any, Any]", value).items())
    if isinstance(value, list | tuple):
        return all(_is_plain(item) for item in cast("Sequence[Any]", value))
    return value is None or isinstance(value, bool | int | float | str)


def _one_line(text: str) -> str:
    return " ".join(text.split()).rstrip(".")
