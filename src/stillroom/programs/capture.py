"""What one symbolic pass recorded, as operations with names of their own."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.utils._pytree import tree_leaves

from stillroom.distillers.scope import untouched
from stillroom.errors import StillroomError
from stillroom.programs.operation import Kind, Operation, Ref, replaced
from stillroom.programs.tracer import RawCall, Tracer, device_of

Run = Callable[[list[Any]], Any]
"""Calls a model with what stands for its inputs."""

_KINDS: dict[str, Kind] = {
    "placeholder": "input",
    "call_module": "module",
    "call_function": "function",
    "call_method": "method",
    "get_attr": "attribute",
}


class UntraceableError(Exception):
    """A module whose forward pass cannot be followed.

    Args:
        path: the module.
        reason: why.
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path, self.reason = path, reason


@dataclass
class Capture:
    """A model's computation in one mode.

    Attributes:
        operations: in order.
        calls: of modules, in the order in which they returned.
        output: the model's own, with a :class:`Ref` for each value.
        constants: tensors by the name of their operation.
        owners: the module in whose forward pass an operation stands.
    """

    operations: list[Operation]
    calls: list[RawCall]
    output: Any
    constants: dict[str, Tensor]
    owners: dict[str, str]


def captured(model: nn.Module, run: Run, inputs: list[str], leaves: Collection[str], *, training: bool) -> Capture:
    """Follow a model's forward pass without computing anything.

    Args:
        model: in which modules are found by their paths; it stays as it is.
        run: calls it.
        inputs: names of what it is called with.
        leaves: paths of modules that are not followed.
        training: the mode to follow.

    Raises:
        UntraceableError: a module, or the model itself, cannot be followed.
    """
    output: Any = None

    def whole() -> None:
        nonlocal output
        output = tracer.nodes(run([tracer.create_proxy("placeholder", name, (), {}) for name in inputs]))
        strange = [
            leaf for leaf in tree_leaves(output) if not isinstance(leaf, fx.Node | bool | int | float | str | None)
        ]
        if strange:
            raise StillroomError(f"it returns a {type(strange[0]).__name__}, in which tensors cannot be found")

    # The two modes differ in the seed and in autocast as well, so that a module that draws numbers for itself or asks
    # for autocast shows up as one whose operations differ between them.
    with untouched(model), torch.enable_grad(), torch.autocast(device_of(model), enabled=training):
        torch.manual_seed(training)
        model.train(training)
        tracer = Tracer(model, leaves)
        try:
            tracer.record(whole)
        except Exception as error:
            reason = str(error) if isinstance(error, StillroomError) else f"{type(error).__name__}: {error}"
            raise UntraceableError(tracer.culprit or "", reason.rstrip(".")) from error
    return _named(model, tracer, output)


def _named(model: nn.Module, tracer: Tracer, output: Any) -> Capture:
    nodes = [node for node in tracer.owners if node.op != "output"]
    kinds = {path: type(module).__name__ for path, module in model.named_modules()}
    names = _Names(kinds)
    operations: list[Operation] = []
    for node in nodes:
        owner = tracer.owners[node]
        names.give(node, owner)
        operations.append(
            Operation(
                name=names[node],
                kind="constant" if node in tracer.constants else _KINDS[node.op],
                target=node.target,
                args=names.put(node.args),
                kwargs=names.put(node.kwargs),
                label=_label(node, kinds),
                path=str(node.target) if node.op == "call_module" else owner,
            )
        )
    for call in tracer.calls:
        call.inputs, call.output = names.put(call.inputs), names.put(call.output)
    constants = {names[node]: tensor for node, tensor in tracer.constants.items()}
    owners = {names[node]: tracer.owners[node] for node in nodes}
    return Capture(operations, tracer.calls, names.put(output), constants, owners)


class _Names:
    """Gives every node a name that depends on what is in its module alone."""

    def __init__(self, modules: Collection[str]) -> None:
        self._modules = modules
        self._names: dict[fx.Node, str] = {}
        self._used: set[str] = set()

    def __getitem__(self, node: fx.Node) -> str:
        return self._names[node]

    def give(self, node: fx.Node, owner: str) -> None:
        name = wanted = self._wanted(node, owner)
        count = 0
        taken = self._modules if node.op not in ("call_module", "placeholder") else ()  # a path is its module's
        while name in self._used or name in taken:
            count += 1
            name = f"{wanted}_{count}"
        self._used.add(name)
        self._names[node] = name

    def put(self, value: Any) -> Any:
        return replaced(value, lambda leaf: Ref(self._names[leaf]) if isinstance(leaf, fx.Node) else leaf)

    def _wanted(self, node: fx.Node, owner: str) -> str:
        word = _word(node)
        if word == "getitem" and isinstance(node.args[0], fx.Node) and isinstance(node.args[1], int):
            return f"{self._names[node.args[0]]}[{node.args[1]}]"
        if (node.op == "call_module" and node.target) or node.op == "placeholder":
            return str(node.target)
        return f"{owner}.{word}" if owner else word


def _word(node: fx.Node) -> str:
    """An operation in one word; ``y += x`` is an addition like any other."""
    if isinstance(node.target, str):
        return node.target if node.op == "call_method" else node.target.rpartition(".")[2]
    word: str = getattr(node.target, "__name__", type(node.target).__name__)
    in_place = getattr(node.target, "__module__", "") == "_operator" and word in _IN_PLACE
    return word[1:] if in_place else word


_IN_PLACE = ("iadd", "isub", "imul", "itruediv", "ifloordiv", "imod", "ipow", "imatmul", "iand", "ior", "ixor")


def _label(node: fx.Node, kinds: Mapping[str, str]) -> str:
    if node.op == "placeholder":
        return "input"
    return kinds[str(node.target)] if node.op == "call_module" else _word(node)
