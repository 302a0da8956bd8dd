"""What all algorithms share: a distiller, a task, an optimizer, and the validation of the student by itself."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Literal, cast

from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.optim import Optimizer

from stillroom.algorithms.task import Meter
from stillroom.algorithms.tasks import as_task
from stillroom.distillers import Distilled, Distiller, Schedule, as_schedule
from stillroom.errors import StillroomError

RESERVED = ("task", "loss", "accuracy", "lr", "seconds", "epoch", "step", "phase")

OptimizerMaker = Callable[[Iterator[nn.Parameter]], Optimizer]
SchedulerMaker = Callable[[Optimizer], Any]


class Algorithm(LightningModule, ABC):
    """Who trains whom, when.

    Batches are mappings with ``inputs``, and where there are such ``labels`` and ``index``; everything but the inputs
    is context for the losses. ``training_step`` returns ``loss`` and, detached and by name, the ``parts`` it is made of
    with their ``weights``; a part called ``task.<name>`` is one of those that ``task`` is the sum of. Nothing is logged
    in a step. Validation runs the student by itself, without deliveries, and logs ``val_loss`` and the task's metric,
    such as ``val_accuracy`` (0 to 1).

    Models that an algorithm trains beside the student are its ``companions``, by name: each is measured in validation
    as well, as ``val_accuracy_<name>``, and kept in a folder of its name in the run folder.

    Args:
        distiller: prepared.
        optimizer: makes the optimizer of the distiller's parameters.
        scheduler: makes a learning-rate scheduler of the optimizer.
        scheduler_interval: whether the scheduler steps once an epoch or once an optimizer step.
        task: ``"cross_entropy"``, ``"detection"``, any module called as ``task(logits, labels)``, or a
            :class:`~stillroom.algorithms.Task`.
        task_weight: of the task loss, a number or a :class:`~stillroom.distillers.Schedule`; 0 leaves it out.
    """

    def __init__(
        self,
        distiller: Distiller,
        *,
        optimizer: OptimizerMaker,
        scheduler: SchedulerMaker | None = None,
        scheduler_interval: Literal["epoch", "step"] = "epoch",
        task: str | nn.Module = "cross_entropy",
        task_weight: float | Schedule = 1.0,
    ) -> None:
        super().__init__()
        self.task = as_task(task)
        refuse_names(distiller, (*RESERVED, self.task.metric))
        self.distiller = distiller
        self._task_weight = as_schedule(task_weight)
        self._make_optimizer, self._make_scheduler, self._interval = optimizer, scheduler, scheduler_interval
        self.meter = self.task.meter()
        self.companions: dict[str, nn.Module] = {}
        self.companion_meters = nn.ModuleDict()

    @staticmethod
    def teachers_for(student: nn.Module) -> dict[str, nn.Module]:
        """The teachers that this algorithm makes of the untrained student, by name, for the terms to read."""
        del student
        return {}

    @abstractmethod
    def training_step(self, batch: Mapping[str, Any], batch_idx: int) -> dict[str, Any]:
        """One step: ``loss``, ``parts`` and ``weights``."""

    @property
    def student(self) -> nn.Module:
        """The model that comes out."""
        return self.distiller.student

    @property
    def task_weight(self) -> float:
        """The weight of the task loss at present."""
        return self._task_weight(epoch=self.current_epoch, step=self.global_step)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        self.distiller.at(epoch=self.current_epoch, step=self.global_step)

    def taught(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """What the distiller and the task say of a batch, as a step returns it."""
        inputs, context = split(batch)
        return self.learned(self.distiller(inputs, **context), context)

    def learned(self, distilled: Distilled, context: Mapping[str, Any]) -> dict[str, Any]:
        """The same of a batch that the distiller has seen already."""
        parts = {name: loss.detach() for name, loss in distilled.losses.items()}
        weights = dict(distilled.weights)
        loss: Tensor = distilled.loss
        weight = self.task_weight
        if weight != 0:
            task = self.task(distilled.output, context)
            parts["task"], weights["task"] = task.detach(), weight
            for name, part in self.task.parts(distilled.output).items():
                parts[f"task.{name}"], weights[f"task.{name}"] = part.detach(), weight
            loss = weight * task + loss
        return {"loss": loss, "parts": parts, "weights": weights}

    def validation_step(self, batch: Mapping[str, Any], batch_idx: int) -> None:
        inputs, context = split(batch)
        if self.task.labelled(inputs, context):
            self.meter.update(self.student, inputs, context)
            for name, meter in self._companion_meters():
                meter.update(self.companions[name], inputs, context)

    def on_validation_epoch_end(self) -> None:
        if self.meter.update_called:
            found = self.meter.compute()
            # The meter has gathered from all devices; the mean of what they have in common changes nothing.
            self.log("val_loss", found.loss, sync_dist=True)
            self.log(f"val_{self.task.metric}", found.accuracy, sync_dist=True)
            self.meter.reset()
            for name, meter in self._companion_meters():
                self.log(f"val_{self.task.metric}_{name}", meter.compute().accuracy, sync_dist=True)
                meter.reset()

    def accompanied_by(self, companions: Mapping[str, nn.Module]) -> None:
        """Measure these models beside the student. They are no part of the algorithm for that: see to it yourself."""
        self.companions = dict(companions)
        self.companion_meters = nn.ModuleDict({name: self.task.meter() for name in companions})

    def rehearse(self, batch: Mapping[str, Any]) -> None:
        """Find out by a few samples, before training, what does not fit together; changes nothing.

        What the distiller can find out has been found already.
        """

    def samples(self, count: int) -> Tensor | None:
        """Images (count, C, H, W) to show of what this algorithm makes; None where it makes none."""
        del count
        return None

    def make_optimizer(self) -> Optimizer:
        """The optimizer of all that this algorithm trains."""
        return self._make_optimizer(self.distiller.parameters())

    def configure_optimizers(self) -> Any:
        optimizer = self.make_optimizer()
        if self._make_scheduler is None:
            return optimizer
        scheduler = {"scheduler": self._make_scheduler(optimizer), "interval": self._interval}
        return {"optimizer": optimizer, "lr_scheduler": scheduler}

    def _companion_meters(self) -> list[tuple[str, Meter]]:
        return [(name, cast("Meter", meter)) for name, meter in self.companion_meters.items()]


def refuse_names(distiller: Distiller, taken: Iterable[str]) -> None:
    """Refuse terms of names that mean something else in metrics.csv.

    Raises:
        StillroomError: names the term.
    """
    names = set(taken)
    for name in distiller.terms:
        if name in names or name.endswith(("_weighted", "_share")):
            raise StillroomError("this name has a meaning in metrics.csv", where=f"terms.{name}", fix="Rename it.")


def split(batch: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The inputs of the models, and the context of the losses."""
    return batch["inputs"], {name: value for name, value in batch.items() if name != "inputs"}
