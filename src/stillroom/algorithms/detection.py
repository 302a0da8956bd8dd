"""The task of detectors: the model's own losses, measured by the average precision at IoU 0.5."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn
from torchmetrics.detection import MeanAveragePrecision
from torchmetrics.utilities import dim_zero_cat

from stillroom.algorithms.task import Evaluation, Meter, Task
from stillroom.data import DataModule
from stillroom.distillers import call
from stillroom.errors import StillroomError
from stillroom.recorders import describe


class Detection(Task):
    """Detectors know their loss: with targets they return ``{"losses": {name: scalar}}``, of which it is the sum, or
    ``{"loss": scalar}``.

    Without targets, in eval mode, they return ``boxes``, ``scores`` and ``labels`` for each image. The metric is COCO's
    AP50: the mean over the classes of the precision at 101 recalls, at most 100 detections an image, a box found at an
    IoU of 0.5. ``stillroom[detection]`` has what it needs.
    """

    metric, chance = "AP50", "that of a model that finds nothing"

    def forward(self, output: Any, context: Mapping[str, Any]) -> Tensor:
        found = cast("Mapping[str, Any]", output) if isinstance(output, Mapping) else dict[str, Any]()
        losses = found.get("losses")
        loss = sum(losses.values()) if isinstance(losses, Mapping) and losses else found.get("loss")
        if not isinstance(loss, Tensor):
            raise StillroomError(
                "the student's output holds no loss",
                where="task",
                expected='a mapping with "losses" or "loss", as detectors return for images with targets',
                got=describe(output),
                fix="Give data with boxes and a model such as stillroom.models.RetinaNet, or set task_weight to 0.",
            )
        return loss

    def labelled(self, inputs: Any, context: Mapping[str, Any]) -> bool:
        return isinstance(inputs, Mapping) and "targets" in inputs

    def meter(self, *, joint: bool = True) -> Meter:
        return _Precision(self, joint=joint)

    def expect_classes(self, model: nn.Module, output: Any, data: DataModule, *, fix: str) -> None:
        own, names = getattr(model, "num_classes", None), data.sources.class_names
        if isinstance(own, int) and names is not None and own != len(names):
            raise StillroomError(
                "the model's classes are not the data's",
                expected=f"num_classes={len(names)} for {type(data).__name__}",
                got=own,
                fix=fix,
            )


class _Precision(Meter):
    losses: list[Tensor]
    counts: list[Tensor]

    def __init__(self, task: Detection, *, joint: bool) -> None:
        super().__init__(sync_on_compute=joint)
        self._task = [task]  # not registered: it is no part of the meter
        for name in ("losses", "counts"):
            self.add_state(name, [], dist_reduce_fx="cat")
        try:
            self.precision = MeanAveragePrecision(iou_thresholds=[0.5], sync_on_compute=joint)
        except ModuleNotFoundError as error:
            raise StillroomError(
                "detections cannot be measured: pycocotools is not there",
                where="task",
                fix='Install it: pip install "stillroom[detection]".',
            ) from error
        self.precision.warn_on_many_detections = False

    def update(self, model: nn.Module, inputs: Any, context: Mapping[str, Any]) -> None:
        """The model runs twice: for the losses, and for what it finds."""
        loss = self._task[0](call(model, (inputs,)), context).detach()
        found = call(model, ({name: value for name, value in inputs.items() if name != "targets"},))
        count = len(inputs["targets"])
        self.precision.update(found, inputs["targets"])
        self.losses.append(loss.reshape(1) * count)
        self.counts.append(torch.tensor([count], device=loss.device))

    def compute(self) -> Evaluation:
        losses, counts = (dim_zero_cat(each).cpu() for each in (self.losses, self.counts))
        count = int(counts.sum())
        # -1 where there was not a single box to find
        precision = max(0.0, float(self.precision.compute()["map"]))
        return Evaluation(precision, float(losses.double().sum()) / count, count, 0.0, Detection.metric)

    def reset(self) -> None:
        super().reset()
        self.precision.reset()
