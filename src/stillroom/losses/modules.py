"""How a loss calls a module: in the precision of what it is called with."""

from __future__ import annotations

from torch import Tensor, nn
from torch.func import functional_call

from stillroom.losses.tensors import unrounded


def applied(module: nn.Module, x: Tensor, *, frozen: bool = False) -> Tensor:
    """``module(x)``, its parameters and buffers in the type of ``x``, whatever their own, also under autocast.

    Args:
        module: maps a tensor to a tensor. It keeps its own type, and its mode.
        x: what it is called with.
        frozen: its parameters get no gradient; ``x`` does.
    """
    held = {
        name: _like(value.detach() if frozen else value, x)
        for values in (module.named_parameters(), module.named_buffers())
        for name, value in values
    }
    with unrounded(x.device):
        return functional_call(module, held, (x,))


def _like(value: Tensor, x: Tensor) -> Tensor:
    return value.to(x.dtype) if value.is_floating_point() else value
