"""Mean teacher: the student learns from the moving average of its own weights."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch
from lightning.pytorch.core.optimizer import LightningOptimizer
from torch import nn
from torch.optim import Optimizer
from torch.optim.swa_utils import get_ema_multi_avg_fn

from stillroom.algorithms.algorithm import Algorithm, OptimizerMaker, SchedulerMaker
from stillroom.distillers import Distiller, Schedule
from stillroom.errors import StillroomError

TEACHER = "teacher"


class MeanTeacher(Algorithm):
    """The teacher is the exponential moving average of the student.

    It starts as a copy of the untrained student, so the recipe names no teacher, and the terms read it as
    ``teacher/...``. After each optimizer step its parameters become ``α · own + (1 − α) · the student's``, and its
    buffers the student's. α is ``decay``, in the beginning ``1 − 1/(t + 1)`` after step t, counted from 1, as long as
    that is less: the plain mean over all steps so far. It runs in eval mode, without dropout; the authors' runs in
    train mode with statistics of its own.

    The average is saved and resumed with the student, measured in validation as ``val_accuracy_teacher``, and written
    to ``teacher/model.safetensors``: it is often the better model of the two.

    Args:
        distiller: see :class:`~stillroom.algorithms.Algorithm`, also for what is not named here; its teacher is a copy
            of its student.
        decay: α, at least 0 and below 1.
        warmup: whether α begins lower.

    Raises:
        StillroomError: the decay is out of range, the distiller has no teacher that is like the student, or no term.

    Reference:
        Tarvainen, Valpola, Mean teachers are better role models, NeurIPS 2017, equation 1 and appendix B.
    """

    def __init__(
        self,
        distiller: Distiller,
        *,
        decay: float = 0.999,
        warmup: bool = True,
        optimizer: OptimizerMaker,
        scheduler: SchedulerMaker | None = None,
        scheduler_interval: Literal["epoch", "step"] = "epoch",
        task: str | nn.Module = "cross_entropy",
        task_weight: float | Schedule = 1.0,
    ) -> None:
        super().__init__(
            distiller,
            optimizer=optimizer,
            scheduler=scheduler,
            scheduler_interval=scheduler_interval,
            task=task,
            task_weight=task_weight,
        )
        if not 0 <= decay < 1:
            raise StillroomError(
                "the decay is out of range", where="algorithm.decay", expected="0 <= decay < 1", got=decay
            )
        if not distiller.terms and not distiller.deliveries:
            raise StillroomError(
                "nothing reads the mean teacher", where="terms", fix="Add a term, such as KLDivergence."
            )
        if _shapes(_network(distiller)) != _shapes(distiller.student):
            raise StillroomError(
                "a mean teacher begins as a copy of the student",
                where=TEACHER,
                expected=f"{TEACHER!r}: copy.deepcopy(student)",
                got=f"teachers {', '.join(distiller.teachers) or 'none'}",
            )
        self.decay, self.warmup = decay, warmup
        self.accompanied_by({TEACHER: self.average})

    @property
    def average(self) -> nn.Module:
        """The teacher's network."""
        return _network(self.distiller)

    @staticmethod
    def teachers_for(student: nn.Module) -> dict[str, nn.Module]:
        return {TEACHER: copy.deepcopy(student)}

    def training_step(self, batch: Mapping[str, Any], batch_idx: int) -> dict[str, Any]:
        return self.taught(batch)

    def optimizer_step(
        self,
        epoch: int,
        batch_idx: int,
        optimizer: Optimizer | LightningOptimizer,
        optimizer_closure: Callable[[], Any] | None = None,
    ) -> None:
        super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)
        self.follow(self.global_step + 1)

    @torch.no_grad()
    def follow(self, step: int) -> None:
        """Move the average towards the student, after the optimizer step of this number, counted from 1."""
        decay = min(1 - 1 / (step + 1), self.decay) if self.warmup else self.decay
        average: Any = get_ema_multi_avg_fn(decay)
        average(list(self.average.parameters()), list(self.student.parameters()), None)
        for own, students in zip(self.average.buffers(), self.student.buffers(), strict=True):
            own.copy_(students)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["mean_teacher"] = self.average.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.average.load_state_dict(checkpoint["mean_teacher"])


def _network(distiller: Distiller) -> nn.Module:
    """The network of the teacher of that name; an empty one where there is none."""
    holders: dict[str, Any] = dict(distiller.teachers.items())
    return holders[TEACHER].network if TEACHER in holders else nn.Module()


def _shapes(module: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in module.state_dict().items()}
