"""What stands behind a recorder: it holds the values of one site while it is open, and nothing otherwise."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from inspect import Signature
from typing import Any

import torch
from torch import Tensor
from torch._C import DisableTorchFunction

from stillroom.errors import StillroomError
from stillroom.patching import Target, in_backward, in_reentrant_checkpoint, nothing
from stillroom.recorders.items import changed


def no_hook() -> object:
    """What a tap turns into when a hooked module is copied or pickled."""
    return nothing


class Tap:
    """Collects values, call by call, between ``open`` and ``stop``, until somebody takes them.

    In-place operations after the site (``ReLU(inplace=True)``, ``x += y``) would change what was recorded. So the first
    values are recorded as copies while the versions of the originals are watched: a site whose values are overwritten
    keeps being copied, any other is read by reference from then on.

    Attributes:
        differentiable: whether a loss is to train what comes before the site.

    Args:
        copy: True copies every value, False none; None finds out whether that is needed.
    """

    blind_spot = ""
    """What escapes, for the message that nothing was seen."""

    def __init__(self, *, copy: bool | None = None) -> None:
        self._copy = copy
        self.calls: list[Any] = []
        self._watched: list[tuple[Tensor, int]] = []
        self.differentiable, self._cut_off = False, False

    def open(self, *, compiling: bool = False) -> None:
        """Record from now on what this thread does.

        Args:
            compiling: whether ``torch.compile`` traces this.
        """

    def stop(self) -> None:
        """Record no more; what was recorded stays."""

    def forget(self) -> None:
        """Stop, and drop what was recorded."""
        self.stop()
        self.calls, self._watched, self._cut_off = [], [], False

    def close(self) -> list[Any]:
        """Of a tap that has stopped: what was recorded, by call. It forgets this.

        Raises:
            StillroomError: a value that is read by reference was changed in place after it was recorded; or no gradient
                can flow through it, and one should.
        """
        calls, watched, cut_off = self.calls, self._watched, self._cut_off
        self.calls, self._watched, self._cut_off = [], [], False
        if cut_off:
            raise StillroomError(
                "the value was recorded in a reentrant checkpoint, through which no gradient flows",
                fix="Let the model call torch.utils.checkpoint.checkpoint(..., use_reentrant=False).",
            )
        if watched:
            changed = False
            for tensor, version in watched:
                changed |= tensor._version != version
            unexpected = changed and self._copy is False
            self._copy = changed
            if unexpected:
                raise StillroomError(
                    "the recorded value was changed in place after the site",
                    fix="Call prepare() in the mode (train or eval) in which the model runs: the site is copied then.",
                )
        return calls

    def record(self, value: Any, *, compiling: bool) -> None:
        if self.differentiable and not compiling and not torch.is_grad_enabled():
            self._cut_off |= in_reentrant_checkpoint()
        # What is done to record is no call of the model.
        with DisableTorchFunction():
            if isinstance(value, Tensor):
                self.calls.append(self._kept(value, compiling))
            else:
                self.calls.append(changed(value, lambda tensor: self._kept(tensor, compiling)))

    def _kept(self, tensor: Tensor, compiling: bool) -> Tensor:
        if self._copy is not True and not compiling and not tensor.is_inference():
            self._watched.append((tensor, tensor._version))
        return tensor if self._copy is False else tensor.clone()

    def __reduce__(self) -> tuple[Any, ...]:
        return no_hook, ()


class HookTap(Tap):
    """The hook of a module.

    Attributes:
        told: after which of the calls somebody wants to be told, and who; None where nobody does.

    Args:
        inputs: record the module's arguments instead of its output.
        read: what to record of the output in place of the output itself.
        copy: as of every tap.
    """

    def __init__(
        self, *, inputs: bool = False, read: Callable[[Any], Any] | None = None, copy: bool | None = None
    ) -> None:
        super().__init__(copy=copy)
        self._inputs, self._read = inputs, read
        self._thread: int | None = None
        self.told: tuple[int, Callable[[], None]] | None = None

    def open(self, *, compiling: bool = False) -> None:
        # torch.compile traces one thread, and does not know how to ask which.
        self._thread = 0 if compiling else threading.get_ident()

    def stop(self) -> None:
        self._thread = None

    def __call__(self, _module: object, args: tuple[Any, ...], given: Any) -> None:
        """The forward hook (``given``: the output) or forward pre-hook (``given``: the keyword arguments)."""
        if self._thread is None:
            return
        compiling = torch.compiler.is_compiling()
        # Within a backward pass a checkpoint runs again what was recorded before.
        if not compiling and (threading.get_ident() != self._thread or in_backward()):
            return
        if self._read is not None:
            self.calls.append(self._read(given))
        else:
            self.record(arguments(args, given) if self._inputs else given, compiling=compiling)
        if not compiling and self.told is not None and len(self.calls) == self.told[0] + 1:
            self.told[1]()


class CallTap(Tap):
    """Watches a function or method while it is open.

    Args:
        target: what is called.
        inputs: record the arguments instead of what is returned.
        copy: as of every tap.
    """

    def __init__(self, target: Target, *, inputs: bool = False, copy: bool | None = None) -> None:
        super().__init__(copy=copy)
        self._target, self._signature, self._inputs = target, target.signature, inputs
        self.blind_spot = target.blind_spot
        self._leave: Callable[[], None] | None = None

    def open(self, *, compiling: bool = False) -> None:
        self._leave = self._target.enter(self._intercept)

    def stop(self) -> None:
        if self._leave is not None:
            self._leave()
            self._leave = None

    def _intercept(self, proceed: Callable[[], Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        compiling = torch.compiler.is_compiling()
        if not compiling and in_backward():
            return proceed()
        if self._inputs:
            self.record(_by_name(self._signature, args, kwargs), compiling=compiling)
            return proceed()
        value = proceed()
        self.record(value, compiling=compiling)
        return value


class HeldTap(Tap):
    """Gives what an object holds, itself.

    Args:
        owner: the object.
        name: of its attribute, looked up each time: another may be put in its place.
    """

    def __init__(self, owner: object, name: str) -> None:
        super().__init__(copy=False)
        self._owner, self._name = owner, name

    def open(self, *, compiling: bool = False) -> None:
        self.calls = [getattr(self._owner, self._name)]


def arguments(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """One argument as itself, several positional ones as a tuple, and with keywords a dict by position and by name."""
    if len(args) + len(kwargs) == 1:
        return args[0] if args else next(iter(kwargs.values()))
    return {**dict(enumerate(args)), **kwargs} if kwargs else args


def _by_name(signature: Signature | None, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    if signature is None:
        return arguments(args, kwargs)
    try:
        bound = signature.bind(*args, **kwargs)
    except TypeError:  # a decorator shows another call's signature; a call that is wrong says so itself
        return arguments(args, kwargs)
    bound.apply_defaults()
    return dict(bound.arguments)
