"""How well a detector does: the average precisions of COCO and of PASCAL VOC."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, distributed, nn
from torchmetrics import Metric
from torchmetrics.detection import MeanAveragePrecision
from torchmetrics.utilities import dim_zero_cat

from stillroom.algorithms.task import Evaluation, Meter, Task
from stillroom.distillers import call
from stillroom.errors import StillroomError
from stillroom.metrics import VOCAveragePrecision

METRIC, WHOLE = "AP50", "AP"
COCO = {WHOLE: "map", "AP75": "map_75"} | {f"AP {size}": f"map_{size}" for size in ("small", "medium", "large")}
RECALLS = {f"AR {which}": f"mar_{which}" for which in (1, 10, 100, "small", "medium", "large")}
CHALLENGE = {"11-point": "11point", "area": "integral"}
"""VOC's by the last word of their names here: how the area is told from the curve."""

PerClass = dict[int, dict[str, float]]
Pair = tuple[dict[str, Tensor], dict[str, Tensor]]
"""What a model found in an image, and what is there."""


class Precision(Meter):
    """Runs a detector on images with boxes, and compares.

    Args:
        task: whose loss is measured besides.
        joint: gather from all processes that train together; else each measures for itself.
        details: the measures besides AP50, and those of each class; they take several times as long.

    Raises:
        StillroomError: there is no pycocotools.
    """

    losses: list[Tensor]
    counts: list[Tensor]

    def __init__(self, task: Task, *, joint: bool, details: bool) -> None:
        super().__init__(sync_on_compute=joint)
        self._task = [task]  # not registered: it is no part of the meter
        self.joint, self.details = joint, details
        self.pairs: list[Pair] = []
        for name in ("losses", "counts"):
            self.add_state(name, [], dist_reduce_fx="cat")
        self.coco = _coco(details=details)
        ways: Any = CHALLENGE.values() if details else ()
        # The boxes of the data end where their last pixel ends, not where it begins.
        self.challenge = nn.ModuleList(
            VOCAveragePrecision(interpolation=way, inclusive=False, sync_on_compute=False) for way in ways
        )

    def update(self, model: nn.Module, inputs: Any, context: Mapping[str, Any]) -> None:
        """The model runs twice: for the losses, and for what it finds."""
        loss = self._task[0](call(model, (inputs,)), context).detach()
        found = call(model, ({name: value for name, value in inputs.items() if name != "targets"},))
        there = inputs["targets"]
        count, size = len(there), tuple(inputs["images"].shape[-2:])
        self.pairs += [_measured(*pair, size) for pair in zip(found, there, strict=True)]
        self.losses.append(loss.reshape(1) * count)
        self.counts.append(torch.tensor([count], device=loss.device))

    def compute(self) -> Evaluation:
        losses, counts = (dim_zero_cat(each).cpu() for each in (self.losses, self.counts))
        pairs = _from_all_processes(self.pairs) if self.joint else self.pairs
        for metric in self._metrics():
            metric.reset()
            metric.update([each for each, _ in pairs], [each for _, each in pairs])
        count, coco = int(counts.sum()), self.coco.compute()
        # -1 where there was not a single box to find
        precision = max(0.0, float(coco["map_50" if self.details else "map"]))
        found = Evaluation(precision, float(losses.double().sum()) / count, count, 0.0, METRIC)
        if self.details:
            challenge = {f"{METRIC} {name}": each.compute() for name, each in zip(CHALLENGE, self._voc(), strict=True)}
            found.details = _details(coco, challenge)
            found.per_class = _per_class(coco, challenge)
        return found

    def reset(self) -> None:
        super().reset()
        self.pairs = []
        for metric in self._metrics():
            metric.reset()

    def _voc(self) -> list[VOCAveragePrecision]:
        return cast("list[VOCAveragePrecision]", list(self.challenge))

    def _metrics(self) -> list[Metric]:
        return [self.coco, *self._voc()]


def _from_all_processes(pairs: list[Pair]) -> list[Pair]:
    """Of those that train together, the first one's first. torchmetrics gathers image by image, and so cannot do it
    where one process had more of them than another."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return pairs
    own = [cast("Pair", tuple({name: value.cpu() for name, value in each.items()} for each in pair)) for pair in pairs]
    gathered: list[Any] = [None] * distributed.get_world_size()
    distributed.all_gather_object(gathered, own)
    return [pair for each in gathered for pair in each]


def _measured(found: Mapping[str, Tensor], target: Mapping[str, Tensor], size: tuple[int, int]) -> Pair:
    """An image's detections and objects as the measures take them: boxes in pixels of the file, where its size is
    known; a region of many objects is one that need not be found."""
    there = {name: target[name] for name in ("boxes", "labels", "difficult", "iscrowd", "area") if name in target}
    if "iscrowd" in there:
        crowd = there["iscrowd"].bool()
        there["difficult"] = crowd | there["difficult"].bool() if "difficult" in there else crowd
    if "original_size" not in target:
        return dict(found), there
    scale = target["original_size"] / target["original_size"].new_tensor(size)
    scale = scale.to(there["boxes"].dtype).flip(0).repeat(2)
    return {**found, "boxes": found["boxes"] * scale}, {**there, "boxes": there["boxes"] * scale}


def _coco(*, details: bool) -> MeanAveragePrecision:
    try:
        metric = MeanAveragePrecision(
            iou_thresholds=None if details else [0.5], extended_summary=details, sync_on_compute=False
        )
    except ModuleNotFoundError as error:
        raise StillroomError(
            "detections cannot be measured: pycocotools is not there",
            where="task",
            fix='Install it: pip install "stillroom[detection]".',
        ) from error
    metric.warn_on_many_detections = False
    return metric


def _details(coco: Mapping[str, Tensor], challenge: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """Without those of objects of which there are none: COCO's are -1 then, VOC's not a number."""
    told = {name: float(each["map"]) for name, each in challenge.items()}
    told |= {name: float(coco[key]) for name, key in (COCO | RECALLS).items()}
    return {name: value for name, value in told.items() if value >= 0}


def _per_class(coco: Mapping[str, Tensor], challenge: Mapping[str, Mapping[str, Any]]) -> PerClass:
    """COCO's, at IoU 0.5 and over all, from the precision (IoU, recall, class, area, most detections)."""
    if "precision" not in coco:
        return {}
    precision = coco["precision"][:, :, :, 0, -1].mean(1)
    values = {METRIC: precision[0], WHOLE: precision.mean(0)}
    told: PerClass = {}
    for place, label in enumerate(coco["classes"].flatten().tolist()):
        if precision[0, place] >= 0:
            own = {name: float(each["map_per_class"].get(label, torch.nan)) for name, each in challenge.items()}
            row = {METRIC: float(values[METRIC][place]), **own, WHOLE: float(values[WHOLE][place])}
            told[label] = {name: value for name, value in row.items() if value >= 0}
    return told
