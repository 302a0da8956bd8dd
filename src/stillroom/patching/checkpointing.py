"""Activation checkpointing: PyTorch runs parts of a forward pass again within the backward pass."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from types import FrameType

import torch
from torch.utils import checkpoint

# Not public: a later PyTorch may do without it.
_task: Callable[[], int] = getattr(torch._C, "_current_graph_task_id", lambda: -1)  # pyright: ignore[reportPrivateUsage]


def in_checkpoint() -> bool:
    """Whether this code is called by a part of a model that PyTorch runs a second time."""
    return any(frame.f_globals.get("__name__") == checkpoint.__name__ for frame in _callers())


def in_reentrant_checkpoint() -> bool:
    """Whether it is called by one whose first run makes no graph."""
    code = checkpoint.CheckpointFunction.forward.__code__
    return any(frame.f_code is code for frame in _callers())


def in_backward() -> bool:
    """Whether a backward pass is going on in this thread."""
    return _task() != -1


def _callers() -> Iterator[FrameType]:
    frame = inspect.currentframe()
    while frame is not None:
        yield frame
        frame = frame.f_back
