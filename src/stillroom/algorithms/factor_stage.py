"""Factor Transfer: the paraphraser learns the teacher's map first, alone; then the student learns its factor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn

from stillroom.algorithms.algorithm import Algorithm, OptimizerMaker, SchedulerMaker, split
from stillroom.connectors import Paraphraser
from stillroom.distillers import Distiller, Schedule
from stillroom.errors import StillroomError


class FactorStage(Algorithm):
    """Two stages in one training: ``paraphrase_epochs`` of the paraphrasers alone, then as offline distillation.

    In the first stage only the teacher runs, and every :class:`~stillroom.connectors.Paraphraser` that is a term's
    ``teacher_connector`` learns to reconstruct the teacher's value, by the mean squared error: the part is called
    ``paraphrase``. The student is not touched, so its validation stays what it was. From then on the paraphrasers are
    fixed, for a loss lets no gradient into the teacher's side. A run that is stopped is resumed in either stage.

    Args:
        paraphrase_epochs: epochs of the first stage; they count among the epochs of the training.
        distiller, optimizer, scheduler, scheduler_interval, task, task_weight: as of every algorithm.

    Raises:
        StillroomError: no term has a paraphraser, or there is no epoch for the first stage.

    Reference:
        Kim, Park, Kwak, Paraphrasing Complex Network: Network Compression via Factor Transfer, NeurIPS 2018.
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
        paraphrase_epochs: int = 30,
    ) -> None:
        super().__init__(
            distiller,
            optimizer=optimizer,
            scheduler=scheduler,
            scheduler_interval=scheduler_interval,
            task=task,
            task_weight=task_weight,
        )
        if paraphrase_epochs < 1:
            where = "algorithm.paraphrase_epochs"
            got = paraphrase_epochs
            raise StillroomError("the first stage has no epoch", where=where, expected="at least 1", got=got)
        self.paraphrase_epochs = paraphrase_epochs
        self._paraphrased = {
            name: connector
            for name, connector in distiller.teacher_connectors.items()
            if isinstance(connector, Paraphraser)
        }
        if not self._paraphrased:
            raise StillroomError(
                "no term has a paraphraser to train", where="algorithm", expected="teacher_connector: Paraphraser"
            )

    def training_step(self, batch: Mapping[str, Any], batch_idx: int) -> dict[str, Any]:
        if self.current_epoch >= self.paraphrase_epochs:
            return self.taught(batch)
        inputs, _ = split(batch)
        values = self.distiller.teach(inputs)
        errors = [_error(paraphraser, self._feature(name, values)) for name, paraphraser in self._paraphrased.items()]
        loss = torch.stack(errors).sum()
        return {"loss": loss, "parts": {"paraphrase": loss.detach()}, "weights": {"paraphrase": 1.0}}

    def _feature(self, term: str, values: Mapping[str, Any]) -> Tensor:
        return values[self.distiller.teacher_sites(term)[0]]


def _error(paraphraser: Paraphraser, feature: Tensor) -> Tensor:
    return (paraphraser.reconstruct(feature) - feature).square().mean()
