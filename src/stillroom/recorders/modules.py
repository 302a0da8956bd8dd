"""Recorders of what modules return and of what they are called with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, cast

from torch import nn

from stillroom.errors import StillroomError, did_you_mean
from stillroom.patching import Patches
from stillroom.recorders.recorder import Recorder
from stillroom.recorders.tap import HookTap


@dataclass(frozen=True)
class ModuleOutputs(Recorder):
    """The output of the module at ``path`` (``""``: of the model itself).

    Args:
        path: dotted path as in ``model.named_modules()``.
        call, items: as of every recorder.
    """

    noun: ClassVar[str] = "module"

    def attach(self, model: nn.Module, patches: Patches, *, copy: bool | None = None) -> HookTap:
        tap = HookTap(copy=copy)
        patches.hook_outputs(find_module(model, self.path), tap)
        return tap

    def _at(self, index: int) -> str:
        return f"{self.path}@{index}"

    def __str__(self) -> str:
        return self.path + self._suffix()


@dataclass(frozen=True)
class ModuleInputs(Recorder):
    """The arguments of the module at ``path``.

    One argument is recorded as itself, several as a tuple, and with keywords a dict by position and name.

    Args:
        path: dotted path as in ``model.named_modules()``.
        call, items: as of every recorder.
    """

    noun: ClassVar[str] = "module"

    def attach(self, model: nn.Module, patches: Patches, *, copy: bool | None = None) -> HookTap:
        tap = HookTap(inputs=True, copy=copy)
        patches.hook_inputs(find_module(model, self.path), tap)
        return tap

    def _at(self, index: int) -> str:
        return f"{self.path}:input@{index}"

    def __str__(self) -> str:
        return f"{self.path}:input{self._suffix()}"


def unwrap(model: nn.Module) -> nn.Module:
    """The user's own module inside what ``torch.compile`` and data parallel wrappers put around it."""
    if isinstance(model, nn.parallel.DistributedDataParallel):
        return unwrap(cast("nn.Module", model.module))
    inner = getattr(model, "_orig_mod", None)
    return model if inner is None else unwrap(inner)


def expect_model(model: object, where: str) -> None:
    """Raises:
    StillroomError: it is no module.
    """
    if not isinstance(model, nn.Module):
        raise StillroomError("this is no model", where=where, expected="an nn.Module", got=repr(model))


def find_module(model: nn.Module, path: str) -> nn.Module:
    """The submodule at ``path``.

    Raises:
        StillroomError: there is none; names the nearest ones.
    """
    modules = dict(unwrap(model).named_modules(remove_duplicate=False))
    if path not in modules:
        raise StillroomError(
            f"{type(unwrap(model)).__name__} has no module {path!r}",
            fix=did_you_mean(path, [name for name in modules if name]),
        )
    return modules[path]
