"""The recorder of a parameter."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from torch import nn

from stillroom.errors import StillroomError, did_you_mean
from stillroom.patching import Patches
from stillroom.recorders.items import Item
from stillroom.recorders.modules import unwrap
from stillroom.recorders.recorder import Recorder
from stillroom.recorders.tap import HeldTap


@dataclass(frozen=True)
class Parameter(Recorder):
    """A parameter of the model itself, not a copy: a loss on it trains it.

    Args:
        path: its name as in ``model.named_parameters()``.
    """

    call: int | None = field(default=None, init=False)
    items: tuple[Item, ...] = field(default=(), init=False)

    noun: ClassVar[str] = "parameter"

    def attach(self, model: nn.Module, patches: Patches, *, copy: bool | None = None) -> HeldTap:
        model = unwrap(model)
        parameters = dict(model.named_parameters(remove_duplicate=False))
        if self.path not in parameters:
            raise StillroomError(
                f"{type(model).__name__} has no parameter {self.path!r}", fix=did_you_mean(self.path, parameters)
            )
        owner, _, name = self.path.rpartition(".")
        return HeldTap(model.get_submodule(owner), name)
