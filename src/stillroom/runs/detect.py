"""What a trained detector finds in image files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from stillroom.algorithms import Detection
from stillroom.errors import StillroomError
from stillroom.runs.load import find_source, load
from stillroom.runs.use import data_of, image_files, task_of


@dataclass(frozen=True)
class Box:
    """An object that was found: its class, how sure the model is (0 to 1), and its corners x1, y1, x2, y2 in pixels."""

    name: str
    score: float
    corners: tuple[float, float, float, float]


@dataclass(frozen=True)
class Found:
    """What a model finds in one image, the surest first."""

    image: Path
    boxes: list[Box]


def is_detector(source: str | Path) -> bool:
    """Whether what a run folder, a checkpoint or a model file holds was trained to detect.

    Raises:
        StillroomError: it is none of these.
    """
    return isinstance(task_of(find_source(source)), Detection)


def detect(
    source: str | Path, images: Sequence[str | Path], *, top: int | None = None, overrides: Iterable[str] = ()
) -> list[Found]:
    """The boxes that a detector finds in image files, in pixels of the files.

    Args:
        source: run folder, checkpoint or model file.
        images: image files, or folders of such.
        top: how many boxes to name for each image, at least 1; None: all.
        overrides: ``data....=value`` words.

    Raises:
        StillroomError: there are no images, one cannot be read, or the data's transform is unknown.
    """
    if top is not None and top < 1:
        raise StillroomError("the number of boxes is too small", where="--top", expected="at least 1", got=top)
    origin, files = find_source(source), image_files(images)
    data, names = data_of(origin, overrides), origin.card.extra.get("class_names")
    model = load(source)
    found: list[Found] = []
    for file in files:
        inputs = data.transform_image(file)
        with torch.no_grad():
            answer = model(inputs.unsqueeze(0))[0]
        found.append(Found(file, _boxes(answer, names, _scale(file, inputs))[:top]))
    return found


def _scale(file: Path, inputs: torch.Tensor) -> torch.Tensor:
    """From pixels of the input to pixels of the file, for x1, y1, x2, y2."""
    with Image.open(file) as image:
        across, down = image.width / inputs.shape[-1], image.height / inputs.shape[-2]
    return torch.tensor([across, down, across, down])


def _boxes(answer: dict[str, Any], names: list[str] | None, scale: torch.Tensor) -> list[Box]:
    rows = zip(answer["labels"].tolist(), answer["scores"].tolist(), (answer["boxes"] * scale).tolist(), strict=True)
    return [
        Box(names[label] if names else str(label), score, (left, top, right, bottom))
        for label, score, (left, top, right, bottom) in rows
    ]
