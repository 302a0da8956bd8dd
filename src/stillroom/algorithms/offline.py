"""Offline distillation: trained teachers teach one student."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.optim import Optimizer
from torchmetrics import MeanMetric

from stillroom.algorithms.task import logits_of, task_loss
from stillroom.distillers import Distiller, call
from stillroom.errors import StillroomError

RESERVED = ("task", "loss", "accuracy", "lr", "seconds", "epoch", "step", "phase")

OptimizerMaker = Callable[[Iterator[nn.Parameter]], Optimizer]
SchedulerMaker = Callable[[Optimizer], Any]


class Offline(LightningModule):
    """Trains a distiller: ``task_weight * task(logits, labels) + the weighted sum of the terms``.

    The teachers run under ``no_grad`` in eval mode. With ``task_weight=0`` labels are optional. Without teacher and
    terms it trains the student alone.

    Batches are mappings with ``inputs``, and where there are such ``labels`` and ``index``; everything but the inputs
    is context for the losses. ``training_step`` returns ``loss`` and, detached and by name, the ``parts`` it is made of
    with their ``weights``; nothing is logged in a step. Validation logs ``val_loss`` and ``val_accuracy`` (0 to 1).

    Args:
        distiller: prepared.
        optimizer: makes the optimizer of the distiller's parameters.
        scheduler: makes a learning-rate scheduler of the optimizer.
        scheduler_interval: whether the scheduler steps once an epoch or once an optimizer step.
        task: ``"cross_entropy"``, or any module called as ``task(logits, labels)``.
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
        for name in distiller.terms:
            if name in RESERVED or name.endswith(("_weighted", "_share")):
                raise StillroomError("this name has a meaning in metrics.csv", where=f"terms.{name}", fix="Rename it.")
        self.distiller = distiller
        self.task = task_loss(task)
        self.task_weight = task_weight
        self._make_optimizer, self._make_scheduler, self._interval = optimizer, scheduler, scheduler_interval
        self.val_loss, self.val_accuracy = MeanMetric(), MeanMetric()

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        self.distiller.at(epoch=self.current_epoch, step=self.global_step)

    def training_step(self, batch: Mapping[str, Any], batch_idx: int) -> dict[str, Any]:
        inputs, context = split(batch)
        distilled = self.distiller(inputs, **context)
        parts = {name: loss.detach() for name, loss in distilled.losses.items()}
        weights = dict(distilled.weights)
        loss = distilled.loss
        if self.task_weight != 0:
            task = self.task(logits_of(distilled.output), _labels(context))
            parts["task"], weights["task"] = task.detach(), self.task_weight
            loss = self.task_weight * task + loss
        return {"loss": loss, "parts": parts, "weights": weights}

    def validation_step(self, batch: Mapping[str, Any], batch_idx: int) -> None:
        inputs, context = split(batch)
        if "labels" in context:
            logits = logits_of(call(self.distiller.student, (inputs,)))
            self.val_loss.update(self.task(logits, context["labels"]), weight=len(logits))
            self.val_accuracy.update((logits.argmax(1) == context["labels"]).float())

    def on_validation_epoch_end(self) -> None:
        if self.val_accuracy.update_called:
            self.log("val_loss", self.val_loss)
            self.log("val_accuracy", self.val_accuracy)

    def configure_optimizers(self) -> Any:
        optimizer = self._make_optimizer(self.distiller.parameters())
        if self._make_scheduler is None:
            return optimizer
        scheduler = {"scheduler": self._make_scheduler(optimizer), "interval": self._interval}
        return {"optimizer": optimizer, "lr_scheduler": scheduler}


def split(batch: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The inputs of the models, and the context of the losses."""
    return batch["inputs"], {name: value for name, value in batch.items() if name != "inputs"}


def _labels(context: Mapping[str, Any]) -> Tensor:
    labels = context.get("labels")
    if not isinstance(labels, torch.Tensor):
        raise StillroomError(
            "the task loss needs labels, and the data has none", where="task", fix="Set task_weight to 0."
        )
    return labels
