"""Every function and method that a model calls, of PyTorch's and of its own."""

from __future__ import annotations

import copy
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from inspect import unwrap as undecorated
from types import CodeType, FrameType, FunctionType, ModuleType
from typing import Any, Literal

import torch
from torch import nn

from stillroom.errors import StillroomError
from stillroom.patching import torch_calls
from stillroom.recorders.modules import unwrap

Kind = Literal["function", "method"]
_FOREIGN = frozenset({"torch", *sys.stdlib_module_names})


@dataclass(frozen=True)
class CallInfo:
    """A function or method that a model calls.

    Attributes:
        path: of :class:`~stillroom.recorders.FunctionOutputs`, or of :class:`~stillroom.recorders.MethodOutputs`.
        kind: which of the two.
        evaluated: how often it ran in eval mode.
        trained: how often it ran in train mode.
    """

    path: str
    kind: Kind
    evaluated: int
    trained: int


def list_calls(model: nn.Module, *inputs: Any) -> list[CallInfo]:
    """Every function of PyTorch that a model calls for these inputs, and every function and method of its own code.

    Its own is what lies in a package that one of its modules comes from, or is not installed at all. A copy of the
    model runs, in both modes and without gradients; one that cannot train without labels is followed as far as it goes.

    Raises:
        StillroomError: another profiler is at work.
    """
    if sys.getprofile() is not None:
        raise StillroomError(
            "the calls of a model are found with Python's profiler, and another one is at work", fix="Stop that one."
        )
    evaluated = _calls(model, inputs, train=False)
    trained = _calls(model, inputs, train=True)
    return [CallInfo(*call, evaluated[call], trained[call]) for call in dict.fromkeys([*evaluated, *trained])]


def _calls(model: nn.Module, inputs: tuple[Any, ...], *, train: bool) -> Counter[tuple[str, Kind]]:
    model = copy.deepcopy(unwrap(model)).train(train)
    packages = {type(module).__module__.partition(".")[0] for module in model.modules()}
    calls: Counter[tuple[str, Kind]] = Counter()
    codes: Counter[tuple[str, CodeType]] = Counter()

    def note(path: str) -> None:
        calls[path, "function"] += 1

    def profile(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_globals is not globals():
            codes[str(frame.f_globals.get("__name__")), frame.f_code] += 1

    with torch.random.fork_rng(devices=[]), torch.no_grad():
        with torch_calls(note):
            _run(model, inputs)
        sys.setprofile(profile)
        try:
            _run(model, inputs)
        finally:
            sys.setprofile(None)
    for (name, code), number in codes.items():
        module = sys.modules.get(name)
        if module is not None and _is_own(module, packages) and (found := _paths(module).get(code)) is not None:
            calls[found] += number
    return calls


def _run(model: nn.Module, inputs: tuple[Any, ...]) -> None:
    try:
        model(*inputs)
    except Exception:
        if not model.training:
            raise


def _is_own(module: ModuleType, packages: set[str]) -> bool:
    package = module.__name__.partition(".")[0]
    installed = "-packages" in (getattr(module, "__file__", None) or "")
    return package not in _FOREIGN and (package in packages or not installed)


def _paths(module: ModuleType) -> dict[CodeType, tuple[str, Kind]]:
    """What a module defines, by its code; without the forward passes of modules, which are sites of their own."""
    found: dict[CodeType, tuple[str, Kind]] = {}
    for name, value in vars(module).items():
        if isinstance(value, FunctionType):
            found[_code(value)] = f"{module.__name__}.{name}", "function"
        elif type(value) is type and value.__module__ == module.__name__:
            for attribute, raw in vars(value).items():
                function = getattr(raw, "__func__", raw)
                if isinstance(function, FunctionType) and not (issubclass(value, nn.Module) and attribute == "forward"):
                    found[_code(function)] = f"{module.__name__}.{value.__qualname__}.{attribute}", "method"
    return found


def _code(function: FunctionType) -> CodeType:
    original: Callable[..., Any] = undecorated(function)
    return getattr(original, "__code__", function.__code__)
