"""Picking a value out of what was returned, or putting another in: tuples, mappings, model-output objects, nested."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, cast

from torch import Tensor

from stillroom.errors import StillroomError, did_you_mean

Item = int | str


def pick(value: Any, items: tuple[Item, ...]) -> Any:
    """``pick(output, ("logits", 0))`` is ``output["logits"][0]``, or ``output.logits[0]``.

    Raises:
        StillroomError: the value has no such item; says what it is and what it has.
    """
    for item in items:
        value = _one(value, item)
    return value


def replaced(value: Any, items: tuple[Item, ...], part: Any) -> Any:
    """A copy of the value, along the items only, with ``part`` where :func:`pick` would find it.

    Raises:
        StillroomError: the value has no such item; says what it is and what it has.
    """
    if not items:
        return part
    item, *rest = items
    inner = replaced(_one(value, item), tuple(rest), part)
    if isinstance(value, tuple):
        parts = list(cast("tuple[Any, ...]", value))
        if isinstance(item, int):
            parts[item] = inner
            make: Any = getattr(type(value), "_make", type(value))
            return make(parts)
        return cast("Any", value)._replace(**{item: inner})
    changed: Any = copy.copy(value)
    if isinstance(value, Mapping):
        changed[_key(cast("Mapping[Item, Any]", value), item)] = inner
    elif isinstance(item, int):
        changed[item] = inner
    else:
        object.__setattr__(changed, item, inner)  # also of a dataclass that is frozen: the copy is ours
    return changed


def _one(value: Any, item: Item) -> Any:
    if isinstance(value, Mapping):
        mapping = cast("Mapping[Item, Any]", value)
        if (key := _key(mapping, item)) in mapping:
            return mapping[key]
    elif isinstance(item, int):
        sequence = cast("Sequence[Any]", value)
        if isinstance(value, Sequence) and -len(sequence) <= item < len(sequence):
            return sequence[item]
    elif not isinstance(value, Tensor) and hasattr(value, item):
        return getattr(value, item)
    raise StillroomError(
        f"the recorded value has no item [{item}]", got=describe(value), fix=did_you_mean(str(item), _names(value))
    )


def _key(mapping: Mapping[Item, Any], item: Item) -> Item:
    """A site string cannot tell the key 1 from the key "1"."""
    return item if item in mapping else str(item)


def describe(value: Any) -> str:
    """A value in words: type, shape or length, keys."""
    if isinstance(value, Tensor):
        return f"a Tensor of shape {tuple(value.shape)}"
    kind = type(cast("object", value)).__name__
    if isinstance(value, Mapping):
        return f"a {kind} with {', '.join(_names(value)) or 'no keys'}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"a {kind} of {len(cast('Sequence[Any]', value))}"
    return f"a {kind}"


def _names(value: Any) -> list[str]:
    return [str(key) for key in cast("Mapping[Any, Any]", value)] if isinstance(value, Mapping) else []
