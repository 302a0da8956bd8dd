"""The task of classifiers: a loss of logits and labels, measured by the share of right answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn
from torchmetrics.utilities import dim_zero_cat

from stillroom.algorithms.task import Evaluation, Meter, Task
from stillroom.data import DataModule
from stillroom.distillers import call
from stillroom.errors import StillroomError
from stillroom.recorders import describe

FIVE = 5


class Classification(Task):
    """Args:
    loss: called as ``loss(logits, labels)``.
    """

    metric, chance = "accuracy", "the share of the largest class"

    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, output: Any, context: Mapping[str, Any]) -> Tensor:
        labels = context.get("labels")
        if not isinstance(labels, Tensor):
            raise StillroomError(
                "the task loss needs labels, and the data has none", where="task", fix="Set task_weight to 0."
            )
        return self.loss(logits_of(output), labels)

    def labelled(self, inputs: Any, context: Mapping[str, Any]) -> bool:
        return "labels" in context

    def meter(self, *, joint: bool = True, details: bool = False) -> Meter:
        return _Answers(self, joint=joint)

    def expect_classes(self, model: nn.Module, output: Any, data: DataModule, *, fix: str) -> None:
        logits = logits_of(output)
        classes = len(data.class_names) if data.sources.class_names is not None else "C"
        if logits.dim() != 2 or classes not in ("C", logits.shape[1]):
            raise StillroomError(
                "the model's classes are not the data's",
                expected=f"logits (N, {classes}) for {type(data).__name__}",
                got=tuple(logits.shape),
                fix=fix,
            )


class _Answers(Meter):
    """Counts, and no averages over batches."""

    right: list[Tensor]
    among_five: list[Tensor]
    labels: list[Tensor]
    losses: list[Tensor]

    def __init__(self, task: Classification, *, joint: bool) -> None:
        super().__init__(sync_on_compute=joint)
        self._task = [task]  # not registered: it is no part of the meter
        for name in ("right", "among_five", "labels", "losses"):
            self.add_state(name, [], dist_reduce_fx="cat")

    def update(self, model: nn.Module, inputs: Any, context: Mapping[str, Any]) -> None:
        logits, labels = logits_of(call(model, (inputs,))), context["labels"]
        if int(labels.max()) >= logits.shape[1]:
            raise StillroomError(
                "the model has fewer classes than the data",
                expected=f"labels below {logits.shape[1]}",
                got=f"label {int(labels.max())}",
            )
        self.right.append(logits.argmax(1) == labels)
        if logits.shape[1] > FIVE:
            self.among_five.append((logits.topk(FIVE, dim=1).indices == labels.unsqueeze(1)).any(1))
        self.labels.append(labels)
        self.losses.append(self._task[0].loss(logits, labels).detach().reshape(1) * len(labels))

    def compute(self) -> Evaluation:
        right, labels, losses = (dim_zero_cat(each).cpu() for each in (self.right, self.labels, self.losses))
        count = len(labels)
        chance = float(torch.bincount(labels).max()) / count
        accuracy, loss = int(right.sum()) / count, float(losses.double().sum()) / count
        top5 = int(dim_zero_cat(self.among_five).sum()) / count if len(self.among_five) else None
        return Evaluation(accuracy, loss, count, chance, top5=top5)


def logits_of(output: Any) -> Tensor:
    """The logits in what a classifier returned: a Tensor, a mapping with ``"logits"`` or an object with ``.logits``.

    Raises:
        StillroomError: there are none.
    """
    found: Any = cast("Mapping[str, Any]", output).get("logits") if isinstance(output, Mapping) else output
    found = getattr(found, "logits", found)
    if not isinstance(found, Tensor):
        raise StillroomError(
            "the student's output holds no logits",
            expected='a Tensor, a mapping with "logits" or an object with .logits',
            got=describe(output),
            fix="Distil with task_weight=0, or wrap the model.",
        )
    return found
