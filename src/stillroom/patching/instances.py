"""One module's forward pass, intercepted."""

from __future__ import annotations

from inspect import Signature

from torch import nn

from stillroom.patching.calls import Interceptor, Undo
from stillroom.patching.functions import Place, join, signature_of, stand_in


class ForwardTarget:
    """The ``forward`` of one module and no other: its hooks run as ever and see what the interceptors return.

    Args:
        module: the module.
    """

    def __init__(self, module: nn.Module) -> None:
        self._place = Place(module, "forward")
        self._stand_in = stand_in(module.forward)

    @property
    def signature(self) -> Signature | None:
        return signature_of(self._stand_in)

    @property
    def blind_spot(self) -> str:
        return ""

    def enter(self, interceptor: Interceptor) -> Undo:
        return join([self._place], self._stand_in, self._stand_in, interceptor)
