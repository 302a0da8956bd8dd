"""Images with boxes: what the sets for detection share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from stillroom.data.module import Sources
from stillroom.data.samples import Source
from stillroom.errors import StillroomError


@dataclass(frozen=True)
class Annotated:
    """An image file with its boxes.

    Attributes:
        path: of the image.
        boxes: (K, 4), corners x1, y1, x2, y2 in pixels of the file, from 0; K may be 0.
        labels: (K,), classes from 0.
        size: height and width of the image.
    """

    path: Path
    boxes: Tensor
    labels: Tensor
    size: tuple[int, int] = (0, 0)


def annotated(path: Path, corners: Sequence[Sequence[float]], labels: Sequence[int]) -> Annotated:
    """An image file with those of its boxes that have an area.

    Raises:
        StillroomError: there is no such file, or it is no image.
    """
    boxes, classes = torch.tensor(corners, dtype=torch.float32).reshape(-1, 4), torch.tensor(labels, dtype=torch.int64)
    whole = (boxes[:, 2:] > boxes[:, :2]).all(1)
    return replace(Annotated(path, boxes[whole], classes[whole]), size=_size(path))


def detection_sources(
    train: Sequence[Annotated],
    validation: Sequence[Annotated],
    test: Sequence[Annotated] | None,
    *,
    class_names: list[str],
    image_size: int,
    flip: bool,
) -> Sources:
    """The sets as they are trained on and evaluated: squares of ``image_size``, mirrored half of the time or never.

    Raises:
        StillroomError: the size is below 1, or a set has no boxes at all.
    """
    if image_size < 1:
        raise StillroomError("the size is too small", where="image_size", expected="1 or more", got=image_size)
    for name, items in (("training", train), ("validation", validation), ("test", test)):
        if items is not None and not any(len(item.boxes) for item in items):
            raise StillroomError(f"the {name} set has no boxes", got=f"{len(items)} images without any")
    resize, mirror = v2.Resize([image_size, image_size]), [v2.RandomHorizontalFlip()] if flip else []
    to_input = [v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.ToPureTensor()]
    return Sources(
        train=_Images(train),
        validation=_Images(validation),
        test=None if test is None else _Images(test),
        augmented=v2.Compose([resize, *mirror, *to_input]),
        plain=v2.Compose([resize, *to_input]),
        class_names=class_names,
        open_image=opened,
        collate=collate_boxes,
    )


class _Images(Source):
    """The items as the transforms of torchvision take them: an image, and boxes that know what they are."""

    def __init__(self, items: Sequence[Annotated]) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int, /) -> dict[str, Any]:
        item = self.items[index]
        boxes = tv_tensors.BoundingBoxes(item.boxes, format="XYXY", canvas_size=item.size)  # pyright: ignore[reportCallIssue]
        try:
            return {"images": opened(item.path), "targets": {"boxes": boxes, "labels": item.labels}}
        except OSError as error:
            raise _unreadable(item.path, error) from error


def collate_boxes(samples: list[dict[str, Any]]) -> dict[str, Any]:
    """A batch: ``{"inputs": {"images": (N, 3, S, S), "targets": [{"boxes", "labels"}, ...]}, "index": (N,)}``."""
    inputs = [sample["inputs"] for sample in samples]
    images = torch.stack([each["images"] for each in inputs])
    targets = [each["targets"] for each in inputs]
    return {
        "inputs": {"images": images, "targets": targets},
        "index": torch.tensor([sample["index"] for sample in samples]),
    }


def opened(path: Path) -> Image.Image:
    with Image.open(path) as image:
        return image.convert("RGB")


def _size(path: Path) -> tuple[int, int]:
    """Height and width, from the file's head alone."""
    if not path.is_file():
        raise StillroomError("there is no such image", where=str(path))
    try:
        with Image.open(path) as image:
            return image.height, image.width
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> StillroomError:
    return StillroomError("the file is not an image that can be read", where=str(path), got=error)
