"""The recorder of a module: not of what goes in or comes out, but of the module itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from torch import nn

from stillroom.errors import StillroomError
from stillroom.patching import Patches
from stillroom.recorders.items import Item
from stillroom.recorders.modules import find_module, unwrap
from stillroom.recorders.recorder import Recorder
from stillroom.recorders.tap import HeldTap


@dataclass(frozen=True)
class Submodule(Recorder):
    """A part of the model, for a loss that calls it: a teacher's classifier on the student's feature, for example.

    A teacher's part is frozen: its parameters get no gradient, what it is called with does. What the loss does with it
    is not recorded.

    Args:
        path: its name as in ``model.named_modules()``.
    """

    call: int | None = field(default=None, init=False)
    items: tuple[Item, ...] = field(default=(), init=False)

    noun: ClassVar[str] = "module"

    def attach(self, model: nn.Module, patches: Patches, *, copy: bool | None = None) -> HeldTap:
        model = unwrap(model)
        if not self.path:
            raise StillroomError("a submodule has a path", got=repr(self.path), fix="Name a part of the model.")
        find_module(model, self.path)
        owner, _, name = self.path.rpartition(".")
        return HeldTap(model.get_submodule(owner), name)
