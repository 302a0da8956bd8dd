"""The task of detectors: the model's own losses, measured by the average precision at IoU 0.5."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from torch import Tensor, nn

from stillroom.algorithms.precision import METRIC, Precision
from stillroom.algorithms.task import Meter, Task
from stillroom.data import DataModule
from stillroom.errors import StillroomError
from stillroom.recorders import describe


class Detection(Task):
    """Detectors know their loss: with targets they return ``{"losses": {name: scalar}}``, of which it is the sum, or
    ``{"loss": scalar}``.

    Without targets, in eval mode, they return ``boxes``, ``scores`` and ``labels`` for each image. The metric is COCO's
    AP50: the mean over the classes of the precision at 101 recalls, at most 100 detections an image, a box found at an
    IoU of 0.5. ``stillroom[detection]`` has what it needs. What else a model is measured in after training:

    - COCO's other numbers: ``AP``, the mean over IoUs from 0.5 to 0.95, and ``AP75``; ``AP small``, ``medium`` and
      ``large``, of objects below 32², 96² and above, in pixels; ``AR 1``, ``AR 10`` and ``AR 100``, the recall with so
      many detections an image, and ``AR small`` to ``large``;
    - VOC's ``AP50 11-point`` and ``AP50 area``: see :class:`~stillroom.metrics.VOCAveragePrecision`.

    Targets may say more than ``boxes`` and ``labels``: ``original_size``, the height and width of the file in whose
    pixels is measured, else in those of the input; ``iscrowd``, regions of many objects, which need not be found;
    ``difficult``, objects that VOC's measures ignore, and COCO's do not; ``area``, in the same pixels, by which objects
    are small or large, else that of the box.

    A measure of objects of which there are none is left out. The AP are told for each class, too.
    """

    metric, chance = METRIC, "that of the same model untrained"
    beats_untrained = True

    def forward(self, output: Any, context: Mapping[str, Any]) -> Tensor:
        losses = _losses(output)
        loss = sum(losses.values()) if losses else _field(output, "loss")
        if not isinstance(loss, Tensor):
            raise StillroomError(
                "the student's output holds no loss",
                where="task",
                expected='a mapping with "losses" or "loss", as detectors return for images with targets',
                got=describe(output),
                fix="Give data with boxes and a model such as stillroom.models.RetinaNet, or set task_weight to 0.",
            )
        return loss

    def parts(self, output: Any) -> Mapping[str, Tensor]:
        losses = _losses(output)
        return losses if len(losses) > 1 else {}

    def labelled(self, inputs: Any, context: Mapping[str, Any]) -> bool:
        return isinstance(inputs, Mapping) and "targets" in inputs

    def meter(self, *, joint: bool = True, details: bool = False) -> Meter:
        return Precision(self, joint=joint, details=details)

    def expect_classes(self, model: nn.Module, output: Any, data: DataModule, *, fix: str) -> None:
        own, names = getattr(model, "num_classes", None), data.sources.class_names
        if isinstance(own, int) and names is not None and own != len(names):
            raise StillroomError(
                "the model's classes are not the data's",
                expected=f"num_classes={len(names)} for {type(data).__name__}",
                got=own,
                fix=fix,
            )


def _losses(output: Any) -> Mapping[str, Tensor]:
    found = _field(output, "losses")
    return cast("Mapping[str, Tensor]", found) if isinstance(found, Mapping) else {}


def _field(output: Any, name: str) -> Any:
    return cast("Mapping[str, Any]", output).get(name) if isinstance(output, Mapping) else None
