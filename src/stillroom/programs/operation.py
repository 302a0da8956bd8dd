"""What a program is made of: operations that name each other, and where modules were called among them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import torch
from torch.utils._pytree import tree_map

Kind = Literal["input", "module", "function", "method", "attribute", "constant", "loss"]


@dataclass(frozen=True)
class Ref:
    """Stands for an operation's value, by the operation's name."""

    name: str


@dataclass(frozen=True)
class TensorInfo:
    """A tensor of a program.

    Attributes:
        name: by which it is kept and found: see :func:`stillroom.programs.trace`.
        operation: what makes it: the class of a module, the name of a function or method, ``"input"``.
        path: the module in whose forward pass it is made; of a module that runs as a whole, the module itself.
        shape: for the example inputs.
        dtype: for the example inputs.
        bytes: that it takes.
        multiply_adds: of its operation, forward; of one that makes several tensors, with the first of them.
    """

    name: str
    operation: str
    path: str
    shape: tuple[int, ...]
    dtype: torch.dtype
    bytes: int
    multiply_adds: int


@dataclass(frozen=True)
class Operation:
    """One step of a program.

    Attributes:
        name: of its value.
        kind: how ``target`` is meant.
        target: path of a module or attribute, name of a method or loss, or a function.
        args, kwargs: with a :class:`Ref` for each value of another operation.
        label: what it is called in listings.
        path: the module in whose forward pass it stands; a module that runs as a whole: itself.
        model: prefix of the teacher to which it belongs; ``""``: the model that trains.
        tensor: what its value is; None where that is no tensor of the model's computation.
        multiply_adds: of this operation, forward.
        changes: operations whose values it overwrites.
        pinned: it changes a parameter or buffer, so it is never left out.
    """

    name: str
    kind: Kind
    target: Any
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict[str, Any])
    label: str = ""
    path: str = ""
    model: str = ""
    tensor: TensorInfo | None = None
    multiply_adds: int = 0
    changes: tuple[str, ...] = ()
    pinned: bool = False

    @property
    def reads(self) -> list[str]:
        """Names of the operations whose values it takes."""
        return [*refs(self.args), *refs(self.kwargs)]


class Call(NamedTuple):
    """One call of a module: its arguments and its output, with a :class:`Ref` for each value.

    Attributes:
        inputs: as recorders give them.
        output: as it was returned.
    """

    inputs: Any
    output: Any


def replaced(value: Any, change: Callable[[Any], Any]) -> Any:
    """A copy of nested containers, slices included, with every leaf changed."""

    def one(leaf: Any) -> Any:
        if isinstance(leaf, slice):
            part: Any = leaf
            return slice(one(part.start), one(part.stop), one(part.step))
        return change(leaf)

    return tree_map(one, value)


def refs(value: Any) -> list[str]:
    """Names of the operations whose values stand in nested containers, in order."""
    found: list[str] = []

    def note(leaf: Any) -> None:
        if isinstance(leaf, Ref):
            found.append(leaf.name)

    replaced(value, note)
    return found


def renamed(value: Any, names: Callable[[str], str]) -> Any:
    """Nested containers with other names for the values in them."""
    return replaced(value, lambda leaf: Ref(names(leaf.name)) if isinstance(leaf, Ref) else leaf)


def filled(value: Any, values: Mapping[str, Any]) -> Any:
    """Nested containers with the values themselves."""
    if isinstance(value, Ref):
        return values[value.name]
    return replaced(value, lambda leaf: values[leaf.name] if isinstance(leaf, Ref) else leaf)
