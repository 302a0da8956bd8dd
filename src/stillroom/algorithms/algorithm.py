"""What all algorithms share: a distiller, a task, an optimizer, and the validation of the student by itself."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.optim import Optimizer

from stillroom.algorithms.tasks import as_task
from stillroom.distillers import Distiller
from stillroom.errors import StillroomError

RESERVED = ("task", "loss", "accuracy", "lr", "seconds", "epoch", "step", "phase")

OptimizerMaker = Callable[[Iterator[nn.Parameter]], Optimizer]
SchedulerMaker = Callable[[Optimizer], Any]


class Algorithm(LightningModule, ABC):
    """Who trains whom, when.

    Batches are mappings with ``inputs``, and where there are such ``labels`` and ``index``; everything but the inputs
    is context for the losses. ``training_step`` returns ``loss`` and, detached and by name, the ``parts`` it is made of
    with their ``weights``; nothing is logged in a step. Validation runs the student by itself, without deliveries, and
    logs ``val_loss`` and the task's metric, such as ``val_accuracy`` (0 to 1).

    Args:
        distiller: prepared.
        optimizer: makes the optimizer of the distiller's parameters.
        scheduler: makes a learning-rate scheduler of the optimizer.
        scheduler_interval: whether the scheduler steps once an epoch or once an optimizer step.
        task: ``"cross_entropy"``, ``"detection"``, any module called as ``task(logits, labels)``, or a
            :class:`~stillroom.algorithms.Task`.
        task_weight: of the task loss; 0 leaves it out.
    """

    def __init__(
        self,
        distiller: Distiller,
        *,
        optimizer: OptimizerMaker,
        scheduler: SchedulerMaker | None = None,
        scheduler_interval: Literal["epoch", "step"] = "epoch",
        task: str | nn.Module = "cross_entropy",
        task_weight: float = 1.0,
    ) -> None:
        super().__init__()
        self.task = as_task(task)
        for name in distiller.terms:
            if name in (*RESERVED, self.task.metric) or name.endswith(("_weighted", "_share")):
                raise StillroomError("this name has a meaning in metrics.csv", where=f"terms.{name}", fix="Rename it.")
        self.distiller = distiller
        self.task_weight = task_weight
        self._make_optimizer, self._make_scheduler, self._interval = optimizer, scheduler, scheduler_interval
        self.meter = self.task.meter()

    @abstractmethod
    def training_step(self, batch: Mapping[str, Any], batch_idx: int) -> dict[str, Any]:
        """One step: ``loss``, ``parts`` and ``weights``."""

    @property
    def student(self) -> nn.Module:
        """The model that comes out."""
        return self.distiller.student

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        self.distiller.at(epoch=self.current_epoch, step=self.global_step)

    def taught(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """What the distiller and the task say of a batch, as a step returns it."""
        inputs, context = split(batch)
        distilled = self.distiller(inputs, **context)
        parts = {name: loss.detach() for name, loss in distilled.losses.items()}
        weights = dict(distilled.weights)
        loss: Tensor = distilled.loss
        if self.task_weight != 0:
            task = self.task(distilled.output, context)
            parts["task"], weights["task"] = task.detach(), self.task_weight
            loss = self.task_weight * task + loss
        return {"loss": loss, "parts": parts, "weights": weights}

    def validation_step(self, batch: Mapping[str, Any], batch_idx: int) -> None:
        inputs, context = split(batch)
        if self.task.labelled(inputs, context):
            self.meter.update(self.student, inputs, context)

    def on_validation_epoch_end(self) -> None:
        if self.meter.update_called:
            found = self.meter.compute()
            # The meter has gathered from all devices; the mean of what they have in common changes nothing.
            self.log("val_loss", found.loss, sync_dist=True)
            self.log(f"val_{self.task.metric}", found.accuracy, sync_dist=True)
            self.meter.reset()

    def make_optimizer(self) -> Optimizer:
        """The optimizer of all that this algorithm trains."""
        return self._make_optimizer(self.distiller.parameters())

    def configure_optimizers(self) -> Any:
        optimizer = self.make_optimizer()
        if self._make_scheduler is None:
            return optimizer
        scheduler = {"scheduler": self._make_scheduler(optimizer), "interval": self._interval}
        return {"optimizer": optimizer, "lr_scheduler": scheduler}


def split(batch: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The inputs of the models, and the context of the losses."""
    return batch["inputs"], {name: value for name, value in batch.items() if name != "inputs"}
