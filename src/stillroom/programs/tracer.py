"""One symbolic pass through a model, in which every call of a module is noted."""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.utils._pytree import tree_any, tree_map

from stillroom.errors import StillroomError
from stillroom.recorders.tap import arguments

Function = Callable[..., Any]


def _recorded(function: Function) -> Function:
    def method(self: fx.Proxy, *others: Any) -> Any:
        return self.tracer.create_proxy("call_function", function, (self, *others), {})

    return method


class Proxy(fx.Proxy):
    """Stands for a value; what changes it in place is recorded as that (``y += x``, ``y[0] = x``)."""

    __iadd__, __isub__, __imul__ = _recorded(operator.iadd), _recorded(operator.isub), _recorded(operator.imul)
    __itruediv__, __ifloordiv__ = _recorded(operator.itruediv), _recorded(operator.ifloordiv)
    __imod__, __ipow__, __imatmul__ = _recorded(operator.imod), _recorded(operator.ipow), _recorded(operator.imatmul)
    __iand__, __ior__, __ixor__ = _recorded(operator.iand), _recorded(operator.ior), _recorded(operator.ixor)
    __setitem__ = _recorded(operator.setitem)


@dataclass
class RawCall:
    """A call of a module, with nodes in place of values.

    Attributes:
        path: the module.
        inputs, output: what went in and came out.
        start, end: how many nodes there were when it was called, and when it returned.
    """

    path: str
    inputs: Any
    start: int
    output: Any = None
    end: int = 0


class Tracer(fx.Tracer):
    """Records what a model does with its inputs.

    Args:
        model: whose modules, parameters and buffers are known by their paths.
        leaves: paths of modules that are called as a whole, besides those of ``torch.nn``.

    Attributes:
        owners: the module in whose forward pass a node was made.
        calls: of every module, in the order in which they returned.
        constants: tensors that are no parameter and no buffer, by their node.
        culprit: path of the innermost module that could not be followed; None where all could.
    """

    def __init__(self, model: nn.Module, leaves: Collection[str]) -> None:
        super().__init__()
        self._paths = {id(module): path for path, module in reversed([*model.named_modules()])}
        held = chain(model.named_parameters(), model.named_buffers())
        self._held = {id(tensor): path for path, tensor in held}
        self._leaves = leaves
        self._stack = [""]
        self._device = device_of(model)
        self._around = self._scope()
        self.owners: dict[fx.Node, str] = {}
        self.calls: list[RawCall] = []
        self.constants: dict[fx.Node, Tensor] = {}
        self.culprit: str | None = None

    def record(self, run: Callable[..., Any]) -> None:
        """Fill the attributes while a function runs."""
        with _no_functions_of_autograd():
            self.trace(_Root(run))

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return module_qualified_name in self._leaves or super().is_leaf_module(m, module_qualified_name)

    def call_module(self, m: nn.Module, forward: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        path = self._paths.get(id(m))
        if path is None:  # made in the forward pass, or a transform: no part of the model
            return forward(*args, **kwargs)
        called = RawCall(path, self.nodes(arguments(args, kwargs)), len(self.owners))
        if self.is_leaf_module(m, path):
            output = self.create_proxy("call_module", path, args, kwargs)
        else:
            output = self._followed(path, forward, args, kwargs)
        called.output, called.end = self.nodes(output), len(self.owners)
        self.calls.append(called)
        return output

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        # Buffers too: what is computed from their values now would stay when they change.
        return self.proxy(self.create_arg(attr_val)) if id(attr_val) in self._held else attr_val

    def create_arg(self, a: Any) -> Any:
        if isinstance(a, Tensor | nn.Module):
            path = self._held.get(id(a)) or self._paths.get(id(a))
            if path is not None:
                return self.create_node("get_attr", path, (), {})
            if isinstance(a, Tensor):
                node = self.create_node("get_attr", "constant", (), {})
                self.constants[node] = a
                return node
        return super().create_arg(a)

    def create_node(self, kind: str, target: Any, args: Any, kwargs: Any, *rest: Any, **options: Any) -> fx.Node:
        if self._scope() != self._around:
            raise StillroomError("its forward pass switches gradients or autocast on or off, which is not recorded")
        node = super().create_node(kind, target, args, kwargs, *rest, **options)
        self.owners[node] = self._stack[-1]
        return node

    def proxy(self, node: fx.Node) -> Proxy:
        return Proxy(node, self)

    def nodes(self, value: Any) -> Any:
        """Nested containers with the nodes of what was recorded in them."""
        return tree_map(lambda leaf: self.create_arg(leaf) if isinstance(leaf, fx.Proxy | Tensor) else leaf, value)

    def _scope(self) -> tuple[bool, ...]:
        return torch.is_grad_enabled(), torch.is_inference_mode_enabled(), torch.is_autocast_enabled(self._device)

    def _followed(self, path: str, forward: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        self._stack.append(path)
        try:
            return forward(*args, **kwargs)
        except Exception:
            self.culprit = path if self.culprit is None else self.culprit
            raise
        finally:
            self._stack.pop()


def device_of(model: nn.Module) -> str:
    """The kind of device on which a model lies, if autocast knows it."""
    device = next((tensor.device.type for tensor in chain(model.parameters(), model.buffers())), "cpu")
    return device if torch.amp.is_autocast_available(device) else "cpu"


class _Root(nn.Module):
    """What is traced: a function that makes its own inputs."""

    def __init__(self, run: Callable[..., Any]) -> None:
        super().__init__()
        self._run = run

    def forward(self) -> tuple[()]:
        self._run()
        return ()


@contextmanager
def _no_functions_of_autograd() -> Generator[None, None, None]:
    """Inside, a custom function of autograd refuses to be recorded: its backward pass would be lost."""
    owner: Any = torch.autograd.Function
    apply = vars(owner)["apply"]

    def checked(cls: type, *args: Any, **kwargs: Any) -> Any:
        if tree_any(lambda leaf: isinstance(leaf, fx.Proxy), (args, kwargs)):
            raise StillroomError(f"its forward pass calls {cls.__name__}, a custom function of autograd")
        return apply.__get__(None, cls)(*args, **kwargs)

    owner.apply = classmethod(checked)
    try:
        yield
    finally:
        owner.apply = apply
