"""From a dotted path to what can be intercepted, or to the reason why it cannot."""

from __future__ import annotations

import builtins
import importlib
from functools import cached_property
from inspect import getattr_static
from types import GetSetDescriptorType, MemberDescriptorType, ModuleType
from typing import Any

from torch import nn

from stillroom.errors import StillroomError, did_you_mean
from stillroom.patching.calls import Target
from stillroom.patching.functions import FunctionTarget, Place, original_of
from stillroom.patching.methods import MethodTarget
from stillroom.patching.torch_functions import TorchTarget, is_dispatched

_HEAP_TYPE = 1 << 9  # Py_TPFLAGS_HEAPTYPE: the class was made by Python, and its attributes can be set
_IMMUTABLE = 1 << 8
_PROPERTIES = property, cached_property, GetSetDescriptorType, MemberDescriptorType


def find_function(path: str) -> Target:
    """The function at ``package.module.function``; a method of ``torch.Tensor`` is taken as a function of PyTorch.

    Raises:
        StillroomError: there is none, or it cannot be intercepted; says why, and what to do.
    """
    owner, name, found = _resolved(path)
    function = original_of(found)
    if is_dispatched(function):
        return TorchTarget(function)
    if isinstance(owner, type):
        raise StillroomError(
            f"{path} belongs to a class", expected="a function of a module", fix="Methods have recorders of their own."
        )
    if isinstance(function, type):
        raise StillroomError(
            f"{path} is a class", expected="package.module.function", fix="Name one of its methods, as a method."
        )
    if isinstance(function, nn.Module):
        raise StillroomError(f"{path} is a module", fix="Name its place in the model instead.")
    if not callable(function):
        raise StillroomError(f"{path} is no function", got=type(function).__name__)
    if owner is builtins:
        raise StillroomError(
            f"{path} is one of Python's own functions, which everything calls",
            fix=f"Wrap it in a function of your own and name that: def my_{name}(...).",
        )
    return FunctionTarget(function, Place(owner, name))


def find_method(path: str) -> Target:
    """The method at ``package.module.Class.method``: plain, static or of the class.

    Raises:
        StillroomError: there is none, or it cannot be intercepted; says why, and what to do.
    """
    owner, name, found = _resolved(path)
    if not isinstance(owner, type):
        raise StillroomError(f"{path} belongs to no class", expected="package.module.Class.method")
    if is_dispatched(found):
        return TorchTarget(found)
    raw = getattr_static(owner, name)
    if not callable(getattr(raw, "__func__", raw)) or not hasattr(raw, "__get__"):
        raise StillroomError(f"{path} is no method", got=type(raw).__name__)
    if not owner.__flags__ & _HEAP_TYPE or owner.__flags__ & _IMMUTABLE:
        raise StillroomError(
            f"{owner.__name__} is a class of C, whose methods cannot be replaced",
            fix="Call it in a method or function of your own and name that.",
        )
    return MethodTarget(owner, name)


def _resolved(path: str) -> tuple[ModuleType | type, str, Any]:
    """What holds the last name of a path, that name, and what it is."""
    parts = path.split(".")
    if len(parts) < 2 or not all(part.isidentifier() for part in parts):
        raise StillroomError("this is no path of a function", expected="package.module.name", got=repr(path))
    found: Any = None
    rest = parts
    for count in range(len(parts) - 1, 0, -1):
        if (module := _module(".".join(parts[:count]))) is not None:
            found, rest = module, parts[count:]
            break
    if found is None:
        raise StillroomError(
            f"cannot import {'.'.join(parts[:-1])!r}",
            got=path,
            fix="Check the spelling; a module of your own must lie in the working directory or be installed.",
        )
    owner: Any = found
    for name in rest:
        owner, known = found, vars(found) if isinstance(found, ModuleType) else dir(found)
        if not hasattr(owner, name):
            where = getattr(owner, "__name__", type(owner).__name__)
            raise StillroomError(f"{where} has no {name!r}", fix=did_you_mean(name, [n for n in known if n[0] != "_"]))
        found = getattr(owner, name)
    if not isinstance(owner, ModuleType | type):
        raise StillroomError(f"{path} hangs on an object", expected="a function of a module or a method of a class")
    if isinstance(owner, type) and isinstance(getattr_static(owner, rest[-1]), _PROPERTIES):
        raise StillroomError(f"{path} is a property, which nobody calls", fix="Name the method behind it.")
    return owner, rest[-1], found


def _module(name: str) -> ModuleType | None:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            return None
        raise StillroomError(f"{name} cannot be imported: {error}".rstrip("."), got=name) from error
