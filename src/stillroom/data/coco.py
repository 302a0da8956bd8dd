"""Object detection in the layout of COCO.

T.-Y. Lin et al.: Microsoft COCO: Common Objects in Context, ECCV 2014.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from stillroom.data.archives import data_folder
from stillroom.data.boxes import Annotated, annotated, detection_sources
from stillroom.data.module import DataModule, Sources
from stillroom.errors import StillroomError
from stillroom.files import read_text


class COCO(DataModule):
    """``<split>/<file_name>`` and ``annotations/instances_<split>.json`` in one folder.

    Inputs: as of :class:`~stillroom.data.VOC`. The classes are the ``categories`` of the training file in the order of
    their ids, from 0 without gaps. Crowds are left out, so a detection in one counts as a mistake; boxes without an
    area are dropped; images without boxes are kept.

    Args:
        batch_size: per process.
        num_workers: loading processes.
        root: the folder in which ``folder`` lies; None: STILLROOM_DATA, else ``data``.
        folder: that of the data set.
        splits: the one to train on, the one that picks the best epoch, and the one that is measured besides,
            or None.
        image_size: height and width of the inputs; the shape of the image is not kept.
        flip: training images are mirrored half of the time.
    """

    def __init__(
        self,
        *,
        batch_size: int = 8,
        num_workers: int = 0,
        root: str | None = None,
        folder: str = "coco",
        splits: tuple[str, str, str | None] = ("train2017", "val2017", None),
        image_size: int = 320,
        flip: bool = True,
    ) -> None:
        super().__init__(batch_size=batch_size, num_workers=num_workers)
        self.folder, self.splits = data_folder(root) / folder, splits
        self.image_size, self.flip = image_size, flip

    def read(self) -> Sources:
        train, validation, test = (None if split is None else self._read(split) for split in self.splits)
        names, items = train or ({}, [])
        for split, found in zip(self.splits, (train, validation, test), strict=True):
            if found is not None and found[0] != names:
                raise StillroomError(
                    "the categories are not those of the training set",
                    where=str(self._annotations(str(split))),
                    expected=names,
                    got=found[0],
                )
        return detection_sources(
            items,
            validation[1] if validation else [],
            test[1] if test else None,
            class_names=list(names.values()),
            image_size=self.image_size,
            flip=self.flip,
        )

    def _annotations(self, split: str) -> Path:
        return self.folder / "annotations" / f"instances_{split}.json"

    def _read(self, split: str) -> tuple[dict[int, str], list[Annotated]]:
        """The names of the categories by id, and the images."""
        path = self._annotations(split)
        if not path.is_file():
            raise StillroomError(
                "there is no such file of annotations",
                where=str(path),
                fix="Set STILLROOM_DATA or data.root to the folder that holds the data set, and data.folder to its "
                "name.",
            )
        try:
            return _parsed(json.loads(read_text(path)), self.folder / split)
        except json.JSONDecodeError as error:
            raise StillroomError("the file is not JSON", where=f"{path}, line {error.lineno}", got=error.msg) from error
        except (KeyError, TypeError, ValueError) as error:
            if isinstance(error, StillroomError):
                raise
            raise StillroomError(
                "the file is not one of COCO's instances",
                where=str(path),
                expected="images, annotations and categories",
                got=f"{type(error).__name__}: {error}",
            ) from error


def _parsed(data: dict[str, Any], images: Path) -> tuple[dict[int, str], list[Annotated]]:
    names = {category["id"]: category["name"] for category in sorted(data["categories"], key=lambda each: each["id"])}
    labels = {category: label for label, category in enumerate(names)}
    found: dict[int, list[tuple[list[float], int]]] = {image["id"]: [] for image in data["images"]}
    for each in data["annotations"]:
        if not each.get("iscrowd", 0):
            x, y, width, height = each["bbox"]
            found[each["image_id"]].append(([x, y, x + width, y + height], labels[each["category_id"]]))
    return names, [
        annotated(
            images / image["file_name"],
            [corners for corners, _ in found[image["id"]]],
            [label for _, label in found[image["id"]]],
        )
        for image in data["images"]
    ]
