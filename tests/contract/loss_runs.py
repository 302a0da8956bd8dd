"""One call of a loss, as if it were the first: what it draws is drawn from one seed, what it remembers is put back."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import torch
from loss_samples import Sample
from torch import Tensor, nn


def run(loss: Callable[..., Tensor], sample: Sample, **arguments: Any) -> Tensor:
    with alone(loss):
        return loss(*sample.sides, **sample.context, **arguments)


@contextmanager
def alone(loss: object) -> Generator[None, None, None]:
    """Buffers are copies inside, so that autograd still finds what it keeps of them when the own ones are back."""
    modules = list(loss.modules()) if isinstance(loss, nn.Module) else []
    held = [(module, *pair) for module in modules for pair in module.named_buffers(recurse=False)]
    with torch.random.fork_rng(devices=()):
        torch.default_generator.manual_seed(0)  # torch.manual_seed visits all devices, and takes 4 ms
        for module, name, buffer in held:
            setattr(module, name, buffer.clone())
        try:
            yield
        finally:
            for module, name, buffer in held:
                setattr(module, name, buffer)
