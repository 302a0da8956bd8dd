"""detections.png: what a detector has come to find in a few validation images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.utilities import move_data_to_device
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2.functional import to_pil_image

from stillroom.algorithms import Algorithm, Detection, split
from stillroom.data import DataModule
from stillroom.distillers import call
from stillroom.files import whole_file
from stillroom.reports import DETECTIONS
from stillroom.runs.detect import boxes_of
from stillroom.runs.drawing import drawn

IMAGES, ACROSS, SIDE = 8, 4, 320
SURE = 0.5


@torch.no_grad()
def write_detections(algorithm: Algorithm, data: DataModule, folder: Path) -> None:
    """Write up to eight images, evenly spread over the validation set, with what the student finds in them; of what is
    no detector no file."""
    if not isinstance(algorithm.task, Detection):
        return
    student = algorithm.student.eval()
    device = next(student.parameters()).device
    pictures: list[Image.Image] = []
    for batch in data.spread(IMAGES, split="validation"):
        inputs, context = split(move_data_to_device(dict(batch), device))
        if algorithm.task.labelled(inputs, context):
            answers = call(student, ({name: value for name, value in inputs.items() if name != "targets"},))
            pictures += _drawn(inputs, answers, data.sources.class_names)
    if pictures:
        with whole_file(folder / DETECTIONS, suffix=".png") as path:
            _sheet(pictures).save(path)


def _drawn(
    inputs: Mapping[str, Any], answers: Sequence[Mapping[str, Tensor]], names: Sequence[str] | None
) -> list[Image.Image]:
    pictures: list[Image.Image] = []
    for image, target, answer in zip(inputs["images"], inputs["targets"], answers, strict=True):
        low, high = image.aminmax()
        picture = to_pil_image(((image - low) / (high - low).clamp_min(1e-12)).float().cpu()).convert("RGB")
        found = boxes_of({name: value.cpu() for name, value in answer.items()}, names, torch.ones(4))
        shown = [box for box in found if box.score >= SURE]
        pictures.append(drawn(picture, shown, scale=SIDE / max(picture.size), truth=target["boxes"].tolist()))
    return pictures


def _sheet(pictures: Sequence[Image.Image]) -> Image.Image:
    """Rows of four, with a gap."""
    side, columns = SIDE + 4, min(ACROSS, len(pictures))
    sheet = Image.new("RGB", (columns * side, -(-len(pictures) // ACROSS) * side), "#7d8590")
    for place, picture in enumerate(pictures):
        sheet.paste(picture, (place % ACROSS * side + 2, place // ACROSS * side + 2))
    return sheet
