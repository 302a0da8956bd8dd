"""Intercepting calls: in one thread, for a while, by any number of interceptors at once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from functools import partial
from inspect import Signature
from typing import Any, Protocol

import torch

Undo = Callable[[], None]
Interceptor = Callable[[Callable[[], Any], tuple[Any, ...], Mapping[str, Any]], Any]
"""Called as ``interceptor(proceed, args, kwargs)`` in place of a call; ``proceed()`` makes the call."""


class Target(Protocol):
    """A function or method whose calls can be intercepted."""

    @property
    def signature(self) -> Signature | None:
        """Of a call as interceptors see it, without ``self``; None where it is not known."""
        ...

    @property
    def blind_spot(self) -> str:
        """Which calls escape, for the message that there were none."""
        ...

    def enter(self, interceptor: Interceptor) -> Undo:
        """Intercept this thread's calls from now on; of several interceptors the last to enter is asked first.

        Returns:
            What ends it. Those who entered later are to end before.
        """
        ...


class Chain:
    """The interceptors of one function, in the order in which they entered, each with its thread."""

    def __init__(self) -> None:
        self._links: list[tuple[int, Interceptor]] = []
        self.undo: list[Undo] = []
        """What takes the stand-in away again, to be done when the last interceptor has left."""

    def add(self, interceptor: Interceptor) -> None:
        # A new list each time: a call in another thread may be going through the old one.
        self._links = [*self._links, (threading.get_ident(), interceptor)]

    def remove(self, interceptor: Interceptor) -> None:
        self._links = [link for link in self._links if link[1] is not interceptor]
        while self.undo and not self._links:
            self.undo.pop()()

    def call(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call the function through the interceptors of this thread."""
        # torch.compile traces one thread, and does not know how to ask which.
        thread = None if torch.compiler.is_compiling() else threading.get_ident()
        proceed: Callable[[], Any] = partial(function, *args, **kwargs)
        for owner, interceptor in self._links:
            if thread is None or owner == thread:
                proceed = partial(interceptor, proceed, args, kwargs)
        return proceed()
