"""JSON values into typed dataclasses: the annotations are the schema, and every error names its key."""

from __future__ import annotations

from dataclasses import MISSING, fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, Literal, Union, cast, get_args, get_origin, get_type_hints

from stillroom.errors import StillroomError, did_you_mean

_WORDS = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}


def decode(kind: Any, value: Any, key: str = "") -> Any:
    """Reads ``value`` as ``kind``.

    Args:
        kind: a dataclass, ``str``, ``int``, ``float``, a ``Literal``, or a list, dict or optional of these.
        value: what ``json.loads`` returned.
        key: where the value stands, such as ``"model.parameters"``; begins the messages.

    Raises:
        StillroomError: if a key is missing or unknown, or a value of another type.
    """
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        present = next(option for option in inner if option is not NoneType)
        return None if value is None else decode(present, value, key)
    if origin is Literal:
        return _literal(inner, value, key)
    if origin is list:
        items = cast("list[Any]", _checked(list, "a list", value, key))
        return [decode(inner[0], item, f"{key}[{index}]") for index, item in enumerate(items)]
    if origin is dict:
        return {name: decode(inner[1], item, _join(key, name)) for name, item in _mapping(value, key).items()}
    return _record(kind, _mapping(value, key), key) if is_dataclass(kind) else _scalar(kind, value, key)


def _record(kind: Any, value: dict[str, Any], key: str) -> Any:
    hints = get_type_hints(kind)
    needed = [field.name for field in fields(kind) if field.default is MISSING is field.default_factory]
    if missing := [name for name in needed if name not in value]:
        raise StillroomError("the key is missing", where=_join(key, missing[0]))
    if unknown := [name for name in value if name not in hints]:
        raise StillroomError("nothing has this name", where=_join(key, unknown[0]), fix=did_you_mean(unknown[0], hints))
    values = {name: decode(hints[name], item, _join(key, name)) for name, item in value.items()}
    try:
        return kind(**values)
    except StillroomError as error:
        raise (error.at(key) if key else error) from None


def _scalar(kind: type, value: Any, key: str) -> Any:
    if kind is float and type(value) is int:
        return float(value)
    # By type and not isinstance, since true is an int in Python and not in JSON.
    return _checked(kind, _WORDS[kind], value, key)


def _literal(options: tuple[Any, ...], value: Any, key: str) -> Any:
    if value not in options:
        raise _wrong(" or ".join(repr(option) for option in options), value, key)
    return value


def _mapping(value: Any, key: str) -> dict[str, Any]:
    return cast("dict[str, Any]", _checked(dict, "a mapping", value, key))


def _checked(kind: type, words: str, value: Any, key: str) -> Any:
    if type(value) is not kind:
        raise _wrong(words, value, key)
    return value


def _wrong(expected: str, value: Any, key: str) -> StillroomError:
    return StillroomError("the value is of the wrong kind", where=key or None, expected=expected, got=repr(value))


def _join(key: str, name: str) -> str:
    return f"{key}.{name}" if key else name
