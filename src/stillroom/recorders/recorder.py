"""What all recorders share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import nn

from stillroom.errors import StillroomError
from stillroom.patching import Patches
from stillroom.recorders.items import Item, pick
from stillroom.recorders.tap import Tap


class NeverCalledError(StillroomError):
    """A site that exists, in something that did not run."""


@dataclass(frozen=True)
class Recorder(ABC):
    """Says which value is read while a model runs.

    Args:
        path: dotted path of what is watched.
        call: which of its calls, counted from 0 (-1: the last); None where it is called once.
        items: what to pick from the value, from the outside in: ``("logits", 0)``.
    """

    path: str
    call: int | None = None
    items: tuple[Item, ...] = ()

    noun: ClassVar[str]

    @abstractmethod
    def attach(self, model: nn.Module, patches: Patches, *, copy: bool | None = None) -> Tap:
        """Find what is watched; the tap records while it is open.

        Args:
            model: in which it is.
            patches: gets the hooks, if any.
            copy: True copies every value, None finds out whether that is needed.

        Raises:
            StillroomError: it does not exist, or cannot be watched.
        """

    def choose(self, calls: Sequence[Any], *, fix: str = "") -> Any:
        """The value that is asked for, out of what the tap collected: its call, and the items of it.

        Args:
            calls: what was collected.
            fix: what to do when that is nothing.

        Raises:
            NeverCalledError: it did not run.
            StillroomError: it ran less often than asked for, or several times with none chosen; or there is no such
                item.
        """
        return pick(self._one(calls, fix), self.items)

    def _one(self, calls: Sequence[Any], fix: str) -> Any:
        index = self.call
        if not calls:
            raise NeverCalledError(f"{self.noun} {self.path!r} was never called in the forward pass", fix=fix)
        if index is None and len(calls) > 1:
            raise StillroomError(
                f"{self.noun} {self.path!r} was called {len(calls)} times in one forward pass",
                fix=f"Choose one call: {self._at(0)} ... {self._at(len(calls) - 1)}.",
            )
        index = index or 0
        if not -len(calls) <= index < len(calls):
            raise StillroomError(
                f"{self.noun} {self.path!r} was called less often than asked for",
                expected=f"call @{index}",
                got=f"{len(calls)} call(s), counted from @0",
            )
        return calls[index]

    def _at(self, index: int) -> str:
        return f"call={index}"

    def __str__(self) -> str:
        return f"{type(self).__name__}({self.path}){self._suffix()}"

    def _suffix(self) -> str:
        call = "" if self.call is None else f"@{self.call}"
        return call + "".join(f"[{item}]" for item in self.items)
