"""Hooks on modules, taken off again."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType

from torch import nn


def nothing(*_: object) -> None:
    """What stands in for a hook in a copy of a hooked module: a copied model takes none of our hooks along."""


def drop_stand_ins(model: nn.Module) -> None:
    """Take what stands in for hooks off a copied model."""
    for module in model.modules():
        for hooks in (module._forward_hooks, module._forward_pre_hooks):  # pyright: ignore[reportPrivateUsage]
            for key in [key for key, hook in hooks.items() if hook is nothing]:
                del hooks[key]
                # Left behind, it would say of a later hook with this key that it takes keywords.
                module._forward_pre_hooks_with_kwargs.pop(key, None)  # pyright: ignore[reportPrivateUsage]


class Patches:
    """Hooks that are taken off again in reverse order by ``restore``, or on leaving the ``with`` block.

    A copy (``copy.deepcopy``, pickle) holds no patches, since it was never the one that made them.
    """

    def __init__(self) -> None:
        self._undo: list[Callable[[], None]] = []

    def hook_outputs(self, module: nn.Module, hook: Callable[..., None]) -> None:
        """Call ``hook(module, args, output)`` after each forward pass of the module."""
        self._undo.append(module.register_forward_hook(hook).remove)

    def hook_inputs(self, module: nn.Module, hook: Callable[..., None]) -> None:
        """Call ``hook(module, args, kwargs)`` before each forward pass of the module."""
        self._undo.append(module.register_forward_pre_hook(hook, with_kwargs=True).remove)

    def restore(self) -> None:
        while self._undo:
            self._undo.pop()()

    def __enter__(self) -> Patches:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.restore()

    def __reduce__(self) -> tuple[type[Patches], tuple[()]]:
        return Patches, ()
