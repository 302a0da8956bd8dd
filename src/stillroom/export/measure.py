"""How large a model is, and how long it takes to answer."""

from __future__ import annotations

import statistics
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain

import torch
from torch import Tensor, nn

from stillroom.export.parity import checked

__all__ = ["ModelFacts", "model_facts"]

WARM_UP_SECONDS, SECONDS, MOST_REPEATS = 0.1, 0.5, 100


@dataclass(frozen=True)
class ModelFacts:
    """What a model costs.

    Attributes:
        parameters: number of numbers that are learnt; tied ones count once.
        size_mb: parameters and buffers in memory, in units of 1e6 bytes.
        latency_one_ms: median time of a batch of one, in milliseconds.
        latency_batch_ms: median time of a batch of ``batch`` samples, in milliseconds.
        batch: the number of samples in that batch.
    """

    parameters: int
    size_mb: float
    latency_one_ms: float
    latency_batch_ms: float
    batch: int


def model_facts(model: nn.Module, example: Tensor) -> ModelFacts:
    """Measure a model where it lies, in evaluation mode and without gradients; its modes are restored.

    Args:
        model: any module that takes one tensor.
        example: (N, ...), a batch of real samples; moved to the model's device.

    Returns:
        The facts. Each latency takes about half a second, or one run of the model where that is longer.

    Raises:
        StillroomError: for an example without samples.
    """
    first = next(chain(model.parameters(), model.buffers()), example)
    example = checked(example).to(first.device)
    with _evaluating(model), torch.no_grad():
        one, batch = _latency_ms(model, example[:1]), _latency_ms(model, example)
    return ModelFacts(
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        size_mb=sum(tensor.nbytes for tensor in chain(model.parameters(), model.buffers())) / 1e6,
        latency_one_ms=one,
        latency_batch_ms=batch,
        batch=len(example),
    )


@contextmanager
def _evaluating(model: nn.Module) -> Generator[None]:
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def _latency_ms(model: nn.Module, batch: Tensor) -> float:
    _seconds(model, batch, at_most=WARM_UP_SECONDS)
    return 1e3 * statistics.median(_seconds(model, batch, at_most=SECONDS))


def _seconds(model: nn.Module, batch: Tensor, *, at_most: float) -> list[float]:
    taken: list[float] = []
    while not taken or (sum(taken) < at_most and len(taken) < MOST_REPEATS):
        start = time.perf_counter()
        model(batch)
        if batch.device.type != "cpu":  # an accelerator answers before it is done
            torch.accelerator.synchronize(batch.device)
        taken.append(time.perf_counter() - start)
    return taken
