"""Recorders of what modules return and of what they are called with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from torch import nn

from stillroom.errors import StillroomError, did_you_mean
from stillroom.patching import Patches
from stillroom.recorders.items import Item, pick
from stillroom.recorders.tap import Tap


@dataclass(frozen=True)
class ModuleOutputs:
    """The output of the module at ``path`` (``""``: of the model itself).

    Args:
        path: dotted path as in ``model.named_modules()``.
        call: which call of the module, counted from 0; None where it is called once.
        items: what to pick from the output, from the outside in: ``("logits", 0)``.
    """

    path: str
    call: int | None = None
    items: tuple[Item, ...] = ()

    def attach(self, model: nn.Module, patches: Patches, *, copy: bool | None = None) -> Tap:
        tap = Tap(copy=copy)
        patches.hook_outputs(find_module(model, self.path), tap)
        return tap


@dataclass(frozen=True)
class ModuleInputs:
    """The arguments of the module at ``path``.

    One argument is recorded as itself, several as a tuple, and with keywords a dict by position and name.

    Args: as of :class:`ModuleOutputs`.
    """

    path: str
    call: int | None = None
    items: tuple[Item, ...] = ()

    def attach(self, model: nn.Module, patches: Patches, *, copy: bool | None = None) -> Tap:
        tap = Tap(inputs=True, copy=copy)
        patches.hook_inputs(find_module(model, self.path), tap)
        return tap


Recorder = ModuleOutputs | ModuleInputs


def unwrap(model: nn.Module) -> nn.Module:
    """The user's own module inside what ``torch.compile`` and data parallel wrappers put around it."""
    if isinstance(model, nn.parallel.DistributedDataParallel):
        return unwrap(cast("nn.Module", model.module))
    inner = getattr(model, "_orig_mod", None)
    return model if inner is None else unwrap(inner)


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


class NeverCalledError(StillroomError):
    """A site that exists, in a module that did not run."""


def chosen(recorder: Recorder, calls: list[Any]) -> Any:
    """The value that the recorder asks for, out of what its tap collected: its call, and the items of it.

    Raises:
        NeverCalledError: the module did not run.
        StillroomError: it ran less often than asked for, or several times with none chosen; or there is no such item.
    """
    index = recorder.call
    if not calls:
        raise NeverCalledError(f"module {recorder.path!r} was never called in the forward pass")
    if index is None and len(calls) > 1:
        raise StillroomError(
            f"module {recorder.path!r} was called {len(calls)} times in one forward pass",
            fix=f"Choose one call: {recorder.path}@0 ... {recorder.path}@{len(calls) - 1}.",
        )
    index = index or 0
    if not -len(calls) <= index < len(calls):
        raise StillroomError(
            f"module {recorder.path!r} was called less often than asked for",
            expected=f"call @{index}",
            got=f"{len(calls)} call(s), counted from @0",
        )
    return pick(calls[index], recorder.items)
