"""The hook behind every recorder: it holds the values of one site while it is open, and nothing otherwise."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

from stillroom.errors import StillroomError
from stillroom.patching import nothing


def no_hook() -> object:
    """What a tap turns into when a hooked module is copied or pickled."""
    return nothing


class Tap:
    """Collects what one module says (or hears), call by call, between ``open`` and ``close``.

    In-place operations after the site (``ReLU(inplace=True)``, ``x += y``) would change what was recorded. So the first
    values are recorded as copies while the versions of the originals are watched: a site whose values are overwritten
    keeps being copied, any other is read by reference from then on.

    Args:
        inputs: record the module's arguments instead of its output.
        copy: True copies every value; None finds out whether that is needed.
    """

    def __init__(self, *, inputs: bool = False, copy: bool | None = None) -> None:
        self._inputs, self._copy = inputs, copy
        self._open = False
        self.calls: list[Any] = []
        self._watched: list[tuple[Tensor, int]] = []

    def open(self) -> None:
        self._open = True

    def forget(self) -> None:
        self._open, self.calls, self._watched = False, [], []

    def close(self) -> list[Any]:
        """What was recorded, by call; the tap forgets it.

        Raises:
            StillroomError: a value that is read by reference was changed in place after it was recorded.
        """
        calls, watched = self.calls, self._watched
        self.forget()
        if watched:
            changed = False
            for tensor, version in watched:
                changed |= tensor._version != version
            unexpected = changed and self._copy is False
            self._copy = changed
            if unexpected:
                raise StillroomError(
                    "the recorded value was changed in place after the site",
                    fix="Call prepare() in the mode (train or eval) in which the model runs: the site is copied then.",
                )
        return calls

    def __call__(self, _module: object, args: tuple[Any, ...], given: Any) -> None:
        """The forward hook (``given``: the output) or forward pre-hook (``given``: the keyword arguments)."""
        if self._open:
            value = _arguments(args, given) if self._inputs else given
            if self._copy is not True and not torch.compiler.is_compiling():
                for leaf in _tensors(value):
                    if not leaf.is_inference():
                        self._watched.append((leaf, leaf._version))
            self.calls.append(value if self._copy is False else tree_map(_copied, value))

    def __reduce__(self) -> tuple[Any, ...]:
        return no_hook, ()


def _arguments(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """One argument as itself, several positional ones as a tuple, and with keywords a dict by position and by name."""
    if len(args) + len(kwargs) == 1:
        return args[0] if args else next(iter(kwargs.values()))
    return {**dict(enumerate(args)), **kwargs} if kwargs else args


def _tensors(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    return [leaf for leaf in tree_leaves(value) if isinstance(leaf, Tensor)]


def _copied(leaf: Any) -> Any:
    return leaf.clone() if isinstance(leaf, Tensor) else leaf
