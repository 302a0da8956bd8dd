"""Methods, intercepted in their class and in every subclass that overrides them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import wraps
from inspect import Parameter, Signature, getattr_static
from types import ClassMethodDescriptorType
from typing import Any

from stillroom.patching.calls import Interceptor, Undo
from stillroom.patching.functions import Place, join, original_of, signature_of, stand_in


class MethodTarget:
    """A method of a class: of every instance, overrides in subclasses included, plain, static or of the class.

    A call that comes through ``super()`` is a part of the call that it comes from and is not seen on its own.
    Interceptors get the arguments without ``self`` or ``cls``.

    Args:
        owner: the class.
        name: of the method.
    """

    def __init__(self, owner: type, name: str) -> None:
        self._name = name
        raw = getattr_static(owner, name)
        self._bound = not isinstance(raw, staticmethod)
        self._function = _function(raw)
        self._stand_ins = [(Place(cls, name), *_replaced(cls, name)) for cls in _family(owner, name)]

    @property
    def signature(self) -> Signature | None:
        found = signature_of(self._function)
        if found is None or not self._bound:
            return found
        parameters = list(found.parameters.values())
        keeps_all = parameters and parameters[0].kind is Parameter.VAR_POSITIONAL
        return found if keeps_all else found.replace(parameters=parameters[1:])

    @property
    def blind_spot(self) -> str:
        names = ", ".join(str(place) for place, _, _ in self._stand_ins)
        return (
            f"Calls of {names} are seen, and none of an instance that has an attribute {self._name!r} of its own, "
            "nor by code that was compiled before."
        )

    def enter(self, interceptor: Interceptor) -> Undo:
        running: list[tuple[int, Place]] = []
        leave = [
            join([place], function, raw, self._outermost(interceptor, place, running))
            for place, function, raw in self._stand_ins
        ]

        def leave_all() -> None:
            while leave:
                leave.pop()()

        return leave_all

    def _outermost(self, interceptor: Interceptor, place: Place, running: list[tuple[int, Place]]) -> Interceptor:
        def intercept(proceed: Callable[[], Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
            subject = id(args[0]) if self._bound else 0
            if any(other == subject and where is not place for other, where in running):
                return proceed()
            running.append((subject, place))
            try:
                return interceptor(proceed, args[1:] if self._bound else args, kwargs)
            finally:
                running.pop()

        return intercept


def _family(owner: type, name: str) -> Iterator[type]:
    """The class, whether it defines the method or inherits it, and the subclasses that define it again."""
    seen = {owner}
    yield owner
    queue = list(type.__subclasses__(owner))
    while queue:
        cls = queue.pop(0)
        if cls not in seen:
            seen.add(cls)
            queue += type.__subclasses__(cls)
            if name in vars(cls):
                yield cls


def _function(raw: Any) -> Callable[..., Any]:
    """The original function in a class's entry."""
    return original_of(getattr(raw, "__func__", raw))


def _replaced(cls: type, name: str) -> tuple[Callable[..., Any], Any]:
    """A stand-in for a class's entry: the function, and as the kind of entry that it is."""
    raw = getattr_static(cls, name)
    kind = staticmethod if isinstance(raw, staticmethod) else None
    if isinstance(raw, classmethod | ClassMethodDescriptorType):  # the latter of a class of C: autograd.Function.apply
        kind = classmethod
    function = stand_in(_function(raw) if name in vars(cls) else _inherited(cls, name, _function(raw)))
    return function, function if kind is None else kind(function)


def _inherited(cls: type, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """What a class inherits, looked up at each call: somebody else may be watching the parent that has it."""

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        raw = next(vars(parent)[name] for parent in cls.__mro__[1:] if name in vars(parent))
        return getattr(raw, "__func__", raw)(*args, **kwargs)

    return call
