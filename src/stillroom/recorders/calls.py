"""Recorders of what functions and methods return and of what they are called with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from stillroom.patching import Patches, find_function, find_method
from stillroom.recorders.recorder import Recorder
from stillroom.recorders.tap import CallTap


@dataclass(frozen=True)
class FunctionOutputs(Recorder):
    """What a function returns: one of PyTorch's, also as a method of a tensor or an operator, or any other.

    A function of PyTorch is seen under every name (``F.relu``, ``from torch.nn.functional import relu``), but not
    inside another one of PyTorch: ``F.relu`` is not seen as ``torch.relu``. Any other function is seen under every name
    by which a module holds it. Only the calls of the thread that runs the model count.

    In a distiller compiled as a whole, a function of PyTorch costs nothing; any other breaks the graph, so
    ``fullgraph=True`` refuses it. Compiled code does not ask which thread it runs in.

    Args:
        path: ``"package.module.function"``, e.g. ``"torch.nn.functional.scaled_dot_product_attention"``.
        call, items: as of every recorder.
    """

    noun: ClassVar[str] = "function"

    def attach(self, model: nn.Module, patches: Patches, *, copy: bool | None = None) -> CallTap:
        return CallTap(find_function(self.path), copy=copy)


@dataclass(frozen=True)
class FunctionInputs(Recorder):
    """The arguments of a function, by name, defaults included: ``items=("input",)`` picks one.

    Where the function tells no names (many of PyTorch's written in C do not) they are as of :class:`ModuleInputs`.

    Args:
        path: as of :class:`FunctionOutputs`.
        call, items: as of every recorder.
    """

    noun: ClassVar[str] = "function"

    def attach(self, model: nn.Module, patches: Patches, *, copy: bool | None = None) -> CallTap:
        return CallTap(find_function(self.path), inputs=True, copy=copy)


@dataclass(frozen=True)
class MethodOutputs(Recorder):
    """What a method returns, of any instance of its class or of a subclass; it may be static or of the class.

    A method of the same name that a subclass puts in its place is seen as well. What ``super()`` calls is a part of
    the call that it comes from.

    In a distiller compiled as a whole it breaks the graph, so ``fullgraph=True`` refuses it. A model that was compiled
    and run before is not seen.

    Args:
        path: ``"package.module.Class.method"``.
        call, items: as of every recorder.
    """

    noun: ClassVar[str] = "method"

    def attach(self, model: nn.Module, patches: Patches, *, copy: bool | None = None) -> CallTap:
        return CallTap(find_method(self.path), copy=copy)


@dataclass(frozen=True)
class MethodInputs(Recorder):
    """The arguments of a method without ``self``, by name, defaults included.

    Args:
        path: as of :class:`MethodOutputs`.
        call, items: as of every recorder.
    """

    noun: ClassVar[str] = "method"

    def attach(self, model: nn.Module, patches: Patches, *, copy: bool | None = None) -> CallTap:
        return CallTap(find_method(self.path), inputs=True, copy=copy)
