"""How long a training will take, by a few of its steps."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from stillroom.data import DataModule
from stillroom.diagnosis import put_back
from stillroom.distillers import Distiller
from stillroom.distillers.scope import untouched
from stillroom.recipes.trainer import TrainerSettings

Step = Callable[[Mapping[str, Any]], dict[str, Any]]
SECONDS = 5.0
"""After which no further step is timed."""


@dataclass(frozen=True, kw_only=True)
class Pace:
    """What a training takes.

    Attributes:
        batch_size: samples of a step.
        step_seconds: forward and backward pass of all models, without the optimizer.
        sample_seconds: to read one training sample in this process.
        workers: processes that read; 0: the training itself.
        batches: of one epoch, on one device.
        epochs: to train.
        peak_bytes: of the accelerator's memory in a step; None: unknown, as on the CPU.
    """

    batch_size: int
    step_seconds: float
    sample_seconds: float
    workers: int
    batches: int
    epochs: int
    peak_bytes: int | None

    @property
    def epoch_seconds(self) -> float:
        """Expected of training alone: workers read while the models compute."""
        reading = self.sample_seconds * self.batch_size
        each = self.step_seconds + reading if not self.workers else max(self.step_seconds, reading / self.workers)
        return self.batches * each


def batches_of_an_epoch(data: DataModule, settings: TrainerSettings) -> int:
    """How many of them one device trains on."""
    whole, limit = len(data.train_dataloader()), settings.limit_train_batches
    if isinstance(limit, int):
        return min(whole, limit)
    return whole if limit >= 1 else max(1, int(whole * limit))


def timed(
    step: Step, model: nn.Module, distiller: Distiller, batch: Mapping[str, Any], steps: int
) -> tuple[float, int | None]:
    """Seconds of one step with its backward pass, the median of some after a first one, and the peak of the memory.

    Args:
        step: takes the batch and returns what a training step does, with a ``loss``.
        model: all that is trained; as before afterwards.
        distiller: the part of it that has teachers.
        batch: where the model lies.
        steps: at least 1.
    """
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    on_cuda = any(parameter.is_cuda for parameter in trained)
    if on_cuda:
        torch.cuda.reset_peak_memory_stats()
    taken: list[float] = []
    with put_back(distiller), untouched(model), torch.enable_grad():
        for _ in range(steps + 1):
            start = time.perf_counter()
            loss = step(batch)["loss"]
            if loss.requires_grad:
                torch.autograd.grad(loss, trained, allow_unused=True)
            if on_cuda:
                torch.cuda.synchronize()
            taken.append(time.perf_counter() - start)
            if sum(taken) > SECONDS:
                break
    return statistics.median(taken[1:] or taken), torch.cuda.max_memory_allocated() if on_cuda else None
