"""Calling a model on the side."""

from __future__ import annotations

from typing import Any

from torch import nn

from stillroom.distillers import Teacher, call
from stillroom.errors import StillroomError
from stillroom.recorders import describe, unwrap


def network_of(model: nn.Module) -> nn.Module:
    """The user's own module inside a teacher, a compiled model or a data parallel one."""
    return unwrap(model.network if isinstance(model, Teacher) else model)


def asked(model: nn.Module, batch: Any, where: str) -> Any:
    """What a model says of a batch; to be called inside ``untouched``.

    Raises:
        StillroomError: it does not take the batch.
    """
    network = network_of(model)
    network.eval()
    try:
        return call(model if isinstance(model, Teacher) else network, (batch,))
    except StillroomError as error:
        raise error.at(where) from None
    except Exception as error:  # a model can fail in as many ways as there are models
        raise StillroomError(
            f"{type(network).__name__} does not take this batch",
            where=where,
            expected="what the model is called with: images (N, C, H, W), or a mapping of its keywords",
            got=f"{describe(batch)} ({type(error).__name__}: {' '.join(str(error).split())[:200]})",
        ) from error
