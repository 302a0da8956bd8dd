"""Picking a value out of what was returned, or putting another in: tuples, mappings, model-output objects, nested."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, MutableMapping, MutableSequence, Sequence
from types import ModuleType, NoneType
from typing import Any, cast

from torch import Tensor
from torch.utils._pytree import tree_map

from stillroom.errors import StillroomError, did_you_mean

Item = int | str
_PLAIN = (NoneType, int, float, complex, str, bytes, bytearray)


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
    return _with(value, {_place(value, item): replaced(_one(value, item), tuple(rest), part)})


def changed(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """The value with every tensor in it changed, wherever it is: in tuples, mappings, model outputs, other objects.

    What holds a tensor is copied on the way to it, so that nothing done to the original touches the result. An object
    that holds none stays itself.
    """
    if isinstance(value, Tensor):
        return change(value)
    seen: dict[int, tuple[Any, Any]] = {}

    def leaf(part: Any) -> Any:
        found = _changed(part, change, seen)
        return part if found is None else found

    return tree_map(leaf, value)  # PyTorch's own containers first: torch.compile follows these


def _changed(value: Any, change: Callable[[Tensor], Tensor], seen: dict[int, tuple[Any, Any]]) -> Any:
    """None where there is no tensor in the value; ``seen`` holds containers, so that ids stay theirs, and results."""
    if isinstance(value, Tensor):
        return change(value)
    parts = _parts(value)
    if not parts:
        return None
    if id(value) not in seen:
        seen[id(value)] = value, None  # a circle ends here
        found = [(place, _changed(part, change, seen)) for place, part in parts]
        others = {place: part for place, part in found if part is not None}
        seen[id(value)] = value, _with(value, others) if others else None
    return seen[id(value)][1]


def _parts(value: Any) -> list[tuple[Any, Any]]:
    """What a value holds, each by its position, key or attribute."""
    if isinstance(value, _PLAIN):
        return []
    if isinstance(value, Mapping):
        return list(cast("Mapping[Any, Any]", value).items())
    if isinstance(value, tuple | MutableSequence):
        return list(enumerate(cast("Sequence[Any]", value)))
    if callable(value) or isinstance(value, ModuleType):
        return []
    slots = [name for kind in type(value).__mro__ for name in getattr(kind, "__slots__", ())]
    names = [*getattr(value, "__dict__", ()), *slots]
    return [(name, getattr(value, name)) for name in names if name[:2] != "__" and hasattr(value, name)]


def _with(value: Any, parts: Mapping[Any, Any]) -> Any:
    """A copy of the value with others in some places."""
    if isinstance(value, tuple):
        make: Any = getattr(type(value), "_make", type(value))
        return make([parts.get(place, part) for place, part in enumerate(cast("tuple[Any, ...]", value))])
    if isinstance(value, Mapping) and not isinstance(value, MutableMapping):
        kind: Any = type(cast("object", value))
        return kind({**cast("Mapping[Any, Any]", value), **parts})
    # As torch.compile can follow it.
    copied: Any = cast("Any", value).copy() if type(value) in (dict, list) else _copied(value)
    for place, part in parts.items():
        if isinstance(value, Mapping) or isinstance(place, int):
            copied[place] = part
        else:
            object.__setattr__(copied, place, part)  # also of a dataclass that is frozen: the copy is ours
    return copied


def _copied(value: Any) -> Any:
    try:
        return copy.copy(value)
    except KeyError:
        # Before Python 3.11 copying asks for __getstate__, which a dict looks up whose attributes are its items.
        if not isinstance(value, dict):
            raise
        kind: Any = type(value)
        made = kind.__new__(kind)
        made.update(value)
        return made


def _place(value: Any, item: Item) -> Any:
    """The position, key or attribute that an item means."""
    if isinstance(value, Mapping):
        return _key(cast("Mapping[Item, Any]", value), item)
    if isinstance(value, tuple):
        places = range(len(cast("tuple[Any, ...]", value)))
        return places[item] if isinstance(item, int) else cast("Any", type(value)).__match_args__.index(item)
    return item


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
    """A site string cannot tell the key 1 from the key "1"; a model output of Hugging Face has positions, too."""
    if item in mapping or str(item) in mapping:
        return item if item in mapping else str(item)
    keys = list(mapping) if hasattr(type(mapping), "to_tuple") else []
    return keys[item] if isinstance(item, int) and -len(keys) <= item < len(keys) else item


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
