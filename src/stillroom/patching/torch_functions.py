"""PyTorch's own functions, intercepted where PyTorch dispatches them: however the caller came by them."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from functools import partial
from inspect import Signature
from typing import Any

from torch._ops import OpOverloadPacket
from torch.overrides import TorchFunctionMode, get_overridable_functions, resolve_name

from stillroom.patching.calls import Interceptor, Undo
from stillroom.patching.functions import signature_of

Kwargs = Mapping[str, Any]


class TorchTarget:
    """A function of PyTorch, or a method of ``torch.Tensor``, under any name, also as an operator.

    What PyTorch calls inside its own functions is not seen: ``torch.nn.functional.relu`` is, and not the ``torch.relu``
    in it. Nor is TorchScript.

    Args:
        function: the function itself.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    @property
    def signature(self) -> Signature | None:
        return signature_of(self._function)

    @property
    def blind_spot(self) -> str:
        return (
            "What PyTorch calls inside its own functions is not seen, nor is TorchScript. "
            "stillroom.recorders.list_calls(model, x) tells what is, also of operators (+ is torch.Tensor.add)."
        )

    def enter(self, interceptor: Interceptor) -> Undo:
        def intercept(function: object, proceed: Callable[[], Any], args: tuple[Any, ...], kwargs: Kwargs) -> Any:
            return interceptor(proceed, args, kwargs) if function is self._function else proceed()

        mode = _Mode(intercept)
        mode.__enter__()
        return partial(mode.__exit__, None, None, None)


def is_dispatched(function: object) -> bool:
    """Whether PyTorch tells its modes of the calls of this function."""
    if isinstance(function, OpOverloadPacket):
        return True  # torch.ops.namespace.operator
    if getattr(function, "__qualname__", "").startswith("_VariableFunctionsClass."):
        return True  # torch.relu, torch.rand and their like: those that take no tensor are listed nowhere
    return any(function is other for functions in get_overridable_functions().values() for other in functions)


@contextmanager
def torch_calls(seen: Callable[[str], None]) -> Generator[None, None, None]:
    """Tell the path of every function of PyTorch that this thread calls inside."""

    def intercept(function: Callable[..., Any], proceed: Callable[[], Any], *_: object) -> Any:
        if path := resolve_name(function):
            seen(path)
        return proceed()

    with _Mode(intercept):
        yield


class _Mode(TorchFunctionMode):
    def __init__(self, intercept: Callable[..., Any]) -> None:
        super().__init__()
        self._intercept = intercept

    def __torch_function__(
        self, func: Callable[..., Any], types: Iterable[type], args: tuple[Any, ...] = (), kwargs: Kwargs | None = None
    ) -> Any:
        kwargs = kwargs or {}
        return self._intercept(func, partial(func, *args, **kwargs), args, kwargs)
