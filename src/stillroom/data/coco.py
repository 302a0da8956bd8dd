"""Object detection in the layout of COCO.

T.-Y. Lin et al.: Microsoft COCO: Common Objects in Context, ECCV 2014.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stillroom.data.archives import data_folder
from stillroom.data.augmentation import DetectionAugmentation
from stillroom.data.box_inputs import BoxInputs, Interpolation
from stillroom.data.boxes import Annotated, Box, annotated, corners_of, image_size
from stillroom.data.module import DataModule, Sources
from stillroom.data.read_all import read_all
from stillroom.errors import StillroomError
from stillroom.files import read_text


class COCO(DataModule):
    """``<split>/<file_name>`` and ``annotations/instances_<split>.json`` in one folder.

    Inputs: as of :class:`~stillroom.data.VOC`; here ``image_id`` is the file's own, ``iscrowd`` tells crowds, no box is
    difficult, and ``area`` is what the file says, that of an object's outline, by which COCO's measures tell small
    objects from large ones. The classes are the ``categories`` of the training file in the order of their ids, from 0
    without gaps. Boxes are clipped to their images; those without an area are left out, and ``stillroom check`` tells
    how many. Images without boxes are kept.

    Args:
        batch_size: per process.
        num_workers: loading processes.
        root: the folder in which ``folder`` lies; None: STILLROOM_DATA, else ``data``.
        folder: that of the data set.
        splits: the one to train on, the one that picks the best epoch, and the one that is measured besides,
            or None.
        image_size: height and width of the inputs; the shape of the image is not kept.
        interpolation: ``nearest``, ``bilinear``, ``bicubic`` or ``lanczos``, by which images are resized.
        flip: training images are mirrored half of the time.
        crowd: keep crowds in the sets that are evaluated, with ``iscrowd`` 1 and score 0, so that an average precision
            can ignore what is found in them; otherwise they are left out, so a detection in one counts as a mistake.
            They are never trained on.
        mean: of each colour, for pixels from 0 to 1; None, with ``std``: pixels stay between 0 and 1.
        std: likewise.
        augmentation: further chance in training, as a mapping of arguments of
            :class:`~stillroom.data.DetectionAugmentation`; training images then have its sizes.
    """

    def __init__(  # noqa: PLR0913 - a recipe sets them all in one place
        self,
        *,
        batch_size: int = 8,
        num_workers: int = 0,
        root: str | None = None,
        folder: str = "coco",
        splits: tuple[str, str, str | None] = ("train2017", "val2017", None),
        image_size: int = 320,
        interpolation: Interpolation = "bilinear",
        flip: bool = True,
        crowd: bool = False,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        augmentation: DetectionAugmentation | None = None,
    ) -> None:
        super().__init__(batch_size=batch_size, num_workers=num_workers)
        self.folder, self.splits, self.crowd = data_folder(root) / folder, splits, crowd
        self.inputs = BoxInputs(
            image_size=image_size,
            interpolation=interpolation,
            flip=flip,
            mean=mean,
            std=std,
            augmentation=augmentation,
        )

    def read(self) -> Sources:
        train, validation, test = (
            None if split is None else self._read(split, crowd=self.crowd and place > 0)
            for place, split in enumerate(self.splits)
        )
        names, items = train or ({}, [])
        for split, found in zip(self.splits, (train, validation, test), strict=True):
            if found is not None and found[0] != names:
                raise StillroomError(
                    "the categories are not those of the training set",
                    where=str(self._annotations(str(split))),
                    expected=names,
                    got=found[0],
                )
        return self.inputs.sources(
            items,
            validation[1] if validation else [],
            test[1] if test else None,
            class_names=list(names.values()),
        )

    def _annotations(self, split: str) -> Path:
        return self.folder / "annotations" / f"instances_{split}.json"

    def _read(self, split: str, *, crowd: bool) -> tuple[dict[int, str], list[Annotated]]:
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
            names, files, boxes = _parsed(json.loads(read_text(path)), str(path))
        except json.JSONDecodeError as error:
            raise StillroomError("the file is not JSON", where=f"{path}, line {error.lineno}", got=error.msg) from error
        except (AttributeError, KeyError, TypeError) as error:
            raise StillroomError(
                "the file is not one of COCO's instances",
                where=str(path),
                expected="images, annotations and categories",
                got=f"{type(error).__name__}: {error}",
            ) from error

        def read(numbered: tuple[int, int]) -> Annotated:
            place, image_id = numbered
            file = self.folder / split / files[image_id]
            chosen = [box for box in boxes[image_id] if crowd or not box.crowd]
            number = image_id if isinstance(image_id, int) else place  # pyright: ignore[reportUnnecessaryIsInstance]
            return annotated(file, image_size(file), chosen, image_id=number)

        return names, read_all(enumerate(files), read, what="images", where=str(self.folder / split))


def _parsed(data: Mapping[str, Any], where: str) -> tuple[dict[int, str], dict[int, str], dict[int, list[Box]]]:
    """The names of the categories, the names of the files and the boxes of the images, all by id."""
    names = {each["id"]: each["name"] for each in sorted(data["categories"], key=lambda each: each["id"])}
    files: dict[int, str] = {each["id"]: each["file_name"] for each in data["images"]}
    labels = {category: label for label, category in enumerate(names)}
    boxes: dict[int, list[Box]] = {image_id: [] for image_id in files}

    def read(numbered: tuple[int, Mapping[str, Any]]) -> None:
        number, each = numbered
        image_id, box = _box(each, f"{where}, annotation {each.get('id', number)}", files, labels)
        boxes[image_id].append(box)

    read_all(enumerate(data["annotations"]), read, what="annotations", where=where)
    return names, files, boxes


def _box(each: Mapping[str, Any], where: str, files: Mapping[int, str], labels: Mapping[int, int]) -> tuple[int, Box]:
    """One annotation: the id of its image, and the box."""
    for key, known in (("image_id", files), ("category_id", labels)):
        if each[key] not in known:
            raise StillroomError(f"the file tells of no such {key}", where=where, got=repr(each[key]))
    try:
        x, y, width, height = corners_of(each["bbox"])
    except (TypeError, ValueError):
        raise StillroomError("it has no box", where=where, expected="four numbers", got=each["bbox"]) from None
    try:
        area = None if each.get("area") is None else float(each["area"])
    except (TypeError, ValueError):
        raise StillroomError("its area is no number", where=where, got=repr(each["area"])) from None
    corners, label = (x, y, x + width, y + height), labels[each["category_id"]]
    return each["image_id"], Box(corners, label, crowd=bool(each.get("iscrowd", 0)), area=area)
