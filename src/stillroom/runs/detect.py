"""What a trained detector finds in image files: told, or drawn."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from math import ceil
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from stillroom.algorithms import Detection
from stillroom.errors import StillroomError
from stillroom.files import whole_files, write_text
from stillroom.runs.drawing import Box, drawn
from stillroom.runs.folder import expect_new
from stillroom.runs.load import find_source, load
from stillroom.runs.use import data_of, image_files, task_of

FILE = "detections.json"
SMALLEST = 480
"""Longer side of a drawn image in pixels: smaller ones are enlarged, so that words can be read."""


@dataclass(frozen=True)
class Found:
    """What a model finds in one image, the surest first."""

    image: Path
    boxes: list[Box]


@dataclass(frozen=True)
class Drawn:
    """An image with boxes, the copy of it, and how many of the boxes are drawn there."""

    found: Found
    copy: Path
    shown: int


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
    return [found for found, _ in _each(source, images, top, overrides)]


def draw(
    source: str | Path,
    images: Sequence[str | Path],
    *,
    out: str | Path,
    threshold: float = 0.5,
    top: int | None = None,
    overrides: Iterable[str] = (),
) -> list[Drawn]:
    """Draw what a detector finds on copies of images, and write ``detections.json`` beside them, all or nothing.

    That file holds for each image ``image``, ``copy``, ``boxes`` (x1, y1, x2, y2 in pixels of the image), ``labels``
    and ``scores`` of all that was found, drawn or not. A copy of a small image is larger than the image.

    Args:
        source: run folder, checkpoint or model file.
        images: image files, or folders of such.
        out: the folder to write into; it must be new or empty.
        threshold: boxes of a lower score are not drawn.
        top: how many boxes to take for each image, at least 1; None: all.
        overrides: ``data....=value`` words.

    Raises:
        StillroomError: as ``detect``; the folder is in use, or the threshold is no score.
    """
    if not 0 <= threshold <= 1:
        raise StillroomError("this is no score", where="--draw-threshold", expected="0 to 1", got=threshold)
    folder, done = Path(out), list[Drawn]()
    expect_new(folder, fix="Choose another --out.")
    names: set[str] = set()
    with whole_files(folder) as temporary:
        for found, picture in _each(source, images, top, overrides):
            name = _new_name(found.image, names)
            shown = [box for box in found.boxes if box.score >= threshold]
            drawn(picture, shown, scale=max(1, ceil(SMALLEST / max(picture.size)))).save(temporary / name, quality=95)
            done.append(Drawn(found, folder / name, len(shown)))
        write_text(temporary / FILE, json.dumps([_plain(each) for each in done], indent=1, ensure_ascii=False) + "\n")
    return done


def boxes_of(answer: dict[str, Any], names: Sequence[str] | None, scale: torch.Tensor) -> list[Box]:
    """What a detector said of one image.

    Args:
        answer: ``boxes``, ``scores`` and ``labels``.
        names: of the classes; None: they are called by their numbers.
        scale: of x1, y1, x2, y2: what they are multiplied with.
    """
    rows = zip(answer["labels"].tolist(), answer["scores"].tolist(), (answer["boxes"] * scale).tolist(), strict=True)
    return [
        Box(str(names[label] if names else label), score, (left, top, right, bottom), label)
        for label, score, (left, top, right, bottom) in rows
    ]


def _each(
    source: str | Path, images: Sequence[str | Path], top: int | None, overrides: Iterable[str]
) -> Iterator[tuple[Found, Image.Image]]:
    """What is found in each image, and the image."""
    if top is not None and top < 1:
        raise StillroomError("the number of boxes is too small", where="--top", expected="at least 1", got=top)
    origin, files = find_source(source), image_files(images)
    data, names = data_of(origin, overrides), origin.card.extra.get("class_names")
    model = load(source)
    for file in files:
        picture, inputs = _opened(file), data.transform_image(file)
        with torch.no_grad():
            answer = model(inputs.unsqueeze(0))[0]
        # from pixels of the input to pixels of the file
        across, down = picture.width / inputs.shape[-1], picture.height / inputs.shape[-2]
        scale = torch.tensor([across, down, across, down])
        yield Found(file, boxes_of(answer, names, scale)[:top]), picture


def _opened(file: Path) -> Image.Image:
    try:
        with Image.open(file) as image:
            return image.convert("RGB")
    except Exception as error:  # a damaged file ends this in as many ways as there are formats
        raise StillroomError("the file is not an image that can be read", where=str(file), got=error) from error


def _new_name(image: Path, taken: set[str]) -> str:
    """That of the image, with a number where another one from elsewhere has it; what is no JPEG becomes PNG."""
    ending = image.suffix if image.suffix.lower() in (".jpg", ".jpeg") else ".png"
    names = (f"{image.stem}{'' if number == 1 else f'-{number}'}{ending}" for number in count(1))
    name = next(name for name in names if name.lower() not in taken)  # some disks do not tell cases apart
    taken.add(name.lower())
    return name


def _plain(each: Drawn) -> dict[str, Any]:
    boxes = each.found.boxes
    return {
        "image": str(each.found.image),
        "copy": each.copy.name,
        "boxes": [list(box.corners) for box in boxes],
        "labels": [box.name for box in boxes],
        "scores": [box.score for box in boxes],
    }
