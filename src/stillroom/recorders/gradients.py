"""The recorder of a gradient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from stillroom.errors import StillroomError
from stillroom.patching import Patches
from stillroom.recorders.items import describe, pick
from stillroom.recorders.modules import find_module
from stillroom.recorders.recorder import Recorder
from stillroom.recorders.tap import HookTap


@dataclass(frozen=True)
class Gradients(Recorder):
    """The gradient of a loss with respect to a module's output: there after ``backward()``, so for :func:`record` only.

    It is the true gradient also where an in-place operation follows the module, unless the output is a view: then there
    is none. With ``create_graph=True`` it can be differentiated again. After several backward passes it is that of the
    last.

    Args:
        path: dotted path as in ``model.named_modules()``.
        call: which call of the module; None where it is called once.
        items: which tensor of the output, where it is not one.
    """

    noun: ClassVar[str] = "module"

    def attach(self, model: nn.Module, patches: Patches, *, copy: bool | None = None) -> HookTap:
        tap = HookTap(read=self._watched)
        patches.hook_outputs(find_module(model, self.path), tap)
        return tap

    def choose(self, calls: Sequence[Any], *, fix: str = "") -> Any:
        gradients = self._one(calls, fix)
        if gradients is None:
            raise StillroomError(f"no gradient flows to the output of {self.path!r}", fix="It was made without one.")
        if not gradients:
            raise StillroomError(
                f"the gradient at {self.path!r} is not there yet",
                fix="Call backward() on a loss first. A view that is changed in place afterwards gets none.",
            )
        return gradients[-1]

    def _watched(self, output: Any) -> list[Tensor] | None:
        """A list to which every backward pass adds the gradient; None where there will be none."""
        value = pick(output, self.items)
        if not isinstance(value, Tensor):
            raise StillroomError("a gradient belongs to a tensor", where=self.path, got=describe(value))
        if not value.requires_grad:
            return None
        gradients: list[Tensor] = []
        value.register_hook(gradients.append)
        return gradients
