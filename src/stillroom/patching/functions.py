"""Functions, intercepted under every name by which modules hold them."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import wraps
from inspect import Signature, signature
from types import FunctionType, ModuleType
from typing import Any

from stillroom.patching.calls import Chain, Interceptor, Undo

# What modules and classes hold is the same for all threads: two must not change it at once.
_LOCK = threading.RLock()
_CHAIN = "_stillroom_chain"


@dataclass(frozen=True)
class Place:
    """A name under which something holds a function.

    Attributes:
        owner: a module, a class, or an object.
        name: of its attribute.
    """

    owner: Any
    name: str

    def __str__(self) -> str:
        prefix = f"{self.owner.__module__}." if isinstance(self.owner, type) else ""
        return f"{prefix}{self.owner.__name__}.{self.name}"

    def put(self, value: Any) -> Undo:
        """Set the attribute; undoing it puts back the very object that was there, or nothing where nothing was."""
        had, before = self.name in vars(self.owner), vars(self.owner).get(self.name)
        setattr(self.owner, self.name, value)

        def undo() -> None:
            if vars(self.owner).get(self.name) is not value:
                return  # somebody put something else there: not ours to take away
            if had:
                setattr(self.owner, self.name, before)
            else:
                delattr(self.owner, self.name)

        return undo


class FunctionTarget:
    """A function of a module, replaced under all its names while somebody intercepts it.

    Args:
        function: the original.
        place: a name of it that is known.
    """

    def __init__(self, function: Callable[..., Any], place: Place) -> None:
        self._function = function
        # A module may give a name that it holds only when it is asked for it.
        self._places = list(dict.fromkeys([place, *_holders(function)]))
        self._stand_in = stand_in(function)

    @property
    def signature(self) -> Signature | None:
        return signature_of(self._function)

    @property
    def blind_spot(self) -> str:
        names = ", ".join(map(str, self._places))
        return f"Calls through {names} are seen, and none by a list, a closure or a default that holds the function."

    def enter(self, interceptor: Interceptor) -> Undo:
        return join(self._places, self._stand_in, self._stand_in, interceptor)


def stand_in(function: Callable[..., Any]) -> Callable[..., Any]:
    """What is put in a function's place: it calls the function through a chain of interceptors of its own."""
    chain = Chain()

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        return chain.call(function, args, kwargs)

    setattr(call, _CHAIN, chain)
    return call


def join(places: Iterable[Place], mine: Callable[..., Any], raw: Any, interceptor: Interceptor) -> Undo:
    """Add an interceptor to the stand-in at the places; where there is none yet it is ``mine``, put as ``raw``."""
    with _LOCK:
        values = [(place, vars(place.owner).get(place.name)) for place in places]
        standing = next((value for _, value in values if chain_of(value) is not None), raw)
        chain = chain_of(standing) or getattr(mine, _CHAIN)
        chain.add(interceptor)
        for place, value in values:
            if chain_of(value) is None:
                chain.undo.append(place.put(standing))

    def leave() -> None:
        with _LOCK:
            chain.remove(interceptor)

    return leave


def chain_of(value: Any) -> Chain | None:
    """The chain of a stand-in, also of one inside ``staticmethod`` or ``classmethod``; None of anything else."""
    found = getattr(getattr(value, "__func__", value), _CHAIN, None)
    return found if isinstance(found, Chain) else None


def original_of(value: Any) -> Any:
    """What a stand-in stands for; anything else is itself."""
    return value.__wrapped__ if chain_of(value) is not None else value


def signature_of(function: Callable[..., Any]) -> Signature | None:
    try:
        return signature(function)
    except (TypeError, ValueError):  # many functions of C tell none
        return None


def _holders(function: Callable[..., Any]) -> list[Place]:
    modules: dict[int, Any] = {id(module): module for module in list(sys.modules.values())}
    return [
        Place(module, name)
        for module in modules.values()
        if isinstance(module, ModuleType)
        for name, value in list(vars(module).items())
        # Not isinstance: it would ask objects that warn, or import something, when they are asked anything.
        if value is function or (type(value) is FunctionType and original_of(value) is function)
    ]
