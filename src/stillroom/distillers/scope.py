"""Running a model on the side: whatever it changes is put back, and its failure has its name."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import torch
from torch import nn

from stillroom.errors import StillroomError


@contextmanager
def untouched(model: nn.Module) -> Generator[None, None, None]:
    """No gradients inside; buffers, modes and random state are as before on leaving, also after an exception."""
    modes = [(module, module.training) for module in model.modules()]
    buffers = [
        (module, name, buffer, buffer.clone())
        for module, _ in modes
        for name, buffer in module.named_buffers(recurse=False)
    ]
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_available() else []
    try:
        with torch.random.fork_rng(devices=devices), torch.no_grad():
            yield
    finally:
        for module, training in modes:
            module.training = training
        with torch.no_grad():
            for module, name, buffer, before in buffers:
                buffer.copy_(before)
                module._buffers[name] = buffer  # pyright: ignore[reportPrivateUsage] - a model may have rebound it


@contextmanager
def naming(model: str) -> Generator[None]:
    """Say of which model it was that it failed."""
    try:
        yield
    except StillroomError:
        raise
    except Exception as error:  # a model can fail in as many ways as there are models
        got = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise StillroomError(f"{model} does not take these inputs", where="prepare", got=got) from error
