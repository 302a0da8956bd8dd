"""Images with boxes as the transforms of torchvision take them, and as batches of them are made."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torchvision import tv_tensors

from stillroom.data.boxes import UNREADABLE, Annotated, opened, unreadable
from stillroom.data.samples import Source

NAMED = 3
"""Files that a remark names."""
OF_IMAGE = ("image_id", "original_size")
"""What a target tells of the image; all else is told of each box."""


class BoxImages(Source):
    """Items ``{"images": image, "targets": {...}}`` of annotated files.

    Targets: ``boxes`` (K, 4), which know what they are; ``labels`` (K,), int64; ``scores`` (K,), 1, and 0 for a crowd;
    ``difficult`` (K,), bool; ``iscrowd`` (K,), int64 0 or 1; ``area`` (K,), in pixels of the file; ``image_id`` ();
    ``original_size`` (2,), height and width.

    Args:
        items: the files.
        trained_on: the classes that a training set has; None: this is one.
    """

    def __init__(self, items: Sequence[Annotated], *, trained_on: Collection[int] | None = None) -> None:
        self.items, self.trained_on = items, trained_on

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int, /) -> dict[str, Any]:
        item = self.items[index]
        try:
            image = opened(item.path)
        except UNREADABLE as error:
            raise unreadable(item.path, error) from error
        crowd = torch.tensor(item.crowd)
        targets = {
            "boxes": within(torch.tensor(item.boxes), item.size),
            "labels": torch.tensor(item.labels),
            "scores": (~crowd).float(),
            "difficult": torch.tensor(item.difficult),
            "iscrowd": crowd.long(),
            "area": torch.tensor(item.area),
            "image_id": torch.tensor(item.image_id),
            "original_size": torch.tensor(item.size),
        }
        return {"images": image, "targets": targets}

    @property
    def labels(self) -> set[int]:
        """The classes that there are boxes of."""
        return {label for item in self.items for label in item.labels.tolist()}

    @property
    def remarks(self) -> list[str]:
        """What is odd about the boxes, and about how many of them."""
        known = self.labels if self.trained_on is None else self.trained_on
        counts: dict[str, Callable[[Annotated], int]] = {
            "have no area and are left out": lambda item: item.empty,
            "reach beyond their images, and only what is within is used": lambda item: item.outside,
            "are of classes that no training image has": lambda item: sum(
                label not in known for label in item.labels.tolist()
            ),
        }
        return [remark for what, count in counts.items() if (remark := self._remark(what, count))]

    def _remark(self, what: str, count: Callable[[Annotated], int]) -> str:
        """With the names of the first files; nothing where there is nothing to count."""
        found = [(number, item.path.name) for item in self.items if (number := count(item))]
        if not found:
            return ""
        boxes, total = sum(number for number, _ in found), sum(item.written for item in self.items)
        more = f", and {len(found) - NAMED:,} more" if len(found) > NAMED else ""
        return f"{boxes:,} of {total:,} boxes {what} ({', '.join(name for _, name in found[:NAMED])}{more})"


def within(corners: Tensor, size: tuple[int, int]) -> tv_tensors.BoundingBoxes:
    """Boxes that know the height and width of their image, and change with it."""
    return tv_tensors.BoundingBoxes(corners, format="XYXY", canvas_size=size)  # pyright: ignore[reportCallIssue]


def per_box(targets: Mapping[str, Any]) -> list[str]:
    """The names of what is told of each box."""
    return [name for name in targets if name not in OF_IMAGE]


def collate_boxes(samples: list[dict[str, Any]]) -> dict[str, Any]:
    """A batch: ``{"inputs": {"images": (N, 3, S, S), "targets": [one for each image]}, "index": (N,)}``."""
    inputs = [sample["inputs"] for sample in samples]
    return {
        "inputs": {
            "images": torch.stack([each["images"] for each in inputs]),
            "targets": [each["targets"] for each in inputs],
        },
        "index": torch.tensor([sample["index"] for sample in samples]),
    }
